// Two versions of a note: shows how they differ, and lets the reader choose or merge.

import { diff, lines } from './diff.js';
import { $, element, isolated } from './dom.js';
import { fieldsOf, mergeWith } from './drafts.js';
import { t } from './texts.js';

// context is how many equal lines stand around a difference.
const context = 2;

// maxShown is the most lines that are shown. Longer differences end with an ellipsis; the versions themselves stay
// whole.
const maxShown = 400;

let shown; // the version of the other side that is shown

// showConflict shows the conflict of a draft, or hides the place for it. It calls resolved after the reader's choice
// has changed the draft, and then say with the name of a text about it.
export function showConflict(draft, resolved, say) {
  const { theirs } = draft;
  $('conflict').hidden = !theirs;
  if (!theirs) {
    shown = undefined;
    return;
  }
  const resolve = (key, change) => () => {
    const overlaps = change();
    draft.theirs = null;
    draft.failure = null;
    resolved();
    if (key) say(overlaps ? 'conflict.overlap' : key);
    $('save').focus();
  };
  $('merge').onclick = resolve('conflict.merged', () => mergeWith(draft, theirs));
  $('keep-mine').onclick = () => {
    resolve('', () => { draft.base = theirs; })();
    $('editor').requestSubmit();
  };
  $('take-theirs').onclick = resolve('', () => { Object.assign(draft, { base: theirs, fields: fieldsOf(theirs) }); });
  if (shown === theirs) return;
  shown = theirs;
  $('difference').replaceChildren(...difference(asText(fieldsOf(theirs)), asText(draft.fields)));
  // Whoever is typing goes on typing. The state of the note says that there is a conflict.
  if (!document.activeElement.matches('#editor :is(input, textarea)')) $('merge').focus();
}

// asText returns all of a note as lines.
const asText = ({ title, content, tags }) =>
  [`${t('note.title')}: ${title}`, `${t('note.tags')}: ${tags.join(', ')}`, '', ...lines(content)];

// difference returns the lines that differ, and some around them, as elements.
function difference(theirs, mine) {
  const all = []; // {name, sign, line}
  const add = (name, sign, some) => some.forEach((line) => all.push({ name, sign, line }));
  let at = 0;
  for (const { from, to, added } of diff(theirs, mine)) {
    add('p', ' ', theirs.slice(at, from));
    add('del', '−', theirs.slice(from, to));
    add('ins', '+', added);
    at = to;
  }
  add('p', ' ', theirs.slice(at));
  const near = new Set();
  all.forEach(({ name }, i) => {
    for (let j = i - context; name !== 'p' && j <= i + context; j++) near.add(j);
  });
  const rows = [], gap = () => element('p', {}, '⋯');
  for (let i = 0; i < all.length && rows.length < maxShown; i++) {
    if (near.has(i)) rows.push(element(all[i].name, {}, `${all[i].sign} `, isolated(all[i].line)));
    else if (i === 0 || near.has(i - 1)) rows.push(gap());
  }
  if (rows.length === maxShown) rows.push(gap());
  return rows;
}
