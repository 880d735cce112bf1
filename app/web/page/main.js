// The notes page. This module connects the others; start with it.

import { Client, defaultWait, Failure } from './api.js';
import { $, element, isolated, say } from './dom.js';
import { Drafts, fieldsOf, isChanged, newDraft } from './drafts.js';
import { describe, Editor } from './editor.js';
import * as keys from './keys.js';
import { List } from './list.js';
import { go, place, replace, urlOf } from './place.js';
import { Removals } from './removals.js';
import { Saver } from './saver.js';
import { Session, showEntrance, showSource } from './session.js';
import * as texts from './texts.js';
import { Walk } from './walk.js';

const { t } = texts;
const { base } = document.documentElement.dataset;

// typing is how long the reader must stop typing before a search starts, in milliseconds.
const typing = 200;

const session = new Session();
const client = new Client(() => session.token);
// caller is who has the present token; its parts are null before that is known.
const caller = { name: null, drafts: null, saver: null };
const removals = new Removals(client, {
  changed: (id) => {
    list.refreshNote(id);
    showUnsaved();
  },
  deleted: (id) => {
    const draft = caller.drafts.get(id);
    if (draft) caller.drafts.drop(draft);
  },
  restore: (note) => {
    const draft = newDraft();
    draft.fields = fieldsOf(note);
    caller.drafts.keep(draft);
    showUnsaved();
  },
});
const list = new List({
  link: (id) => urlOf({ ...place(), note: id }),
  addTag: (tag) => go({ tags: [...new Set([...place().tags, tag])] }),
  isHidden: (id) => removals.has(id),
  isDraft: (id) => caller.drafts?.get(id) !== undefined,
  report,
});
const editor = new Editor({ caller, removals, isReadOnly: () => session.isReadOnly, changed: showDraft });
let listed; // the filter whose notes are listed
let opened = ''; // id of the note or draft that is open, or is being opened
let openings = 0; // how many notes have been opened
let isReady = false; // the drafts of earlier pages are known

await texts.load(texts.language());
listenToControls();
if (session.needsToken && !session.token) askForToken('');
else await enter();

// enter shows the notes of the caller. What was written before the last token expired is still there, but is not sent
// under the name of somebody else.
async function enter() {
  const before = { ...caller }, token = session.token;
  if (before.drafts) {
    editor.close();
    before.saver.stop();
    before.drafts.close();
  }
  isReady = false;
  opened = '';
  listed = undefined;
  caller.name = session.caller;
  caller.drafts = new Drafts(base, caller.name);
  caller.saver = new Saver(client, caller.drafts, { changed: showDraft, saved: showSaved });
  for (const draft of before.drafts?.all ?? []) {
    before.drafts.drop(draft); // or it would come back as another page's
    if (before.name !== caller.name) draft.queued = false;
    caller.drafts.keep(draft);
  }
  $('forget').hidden = !token;
  showFilters();
  showList();
  if (token) {
    client.mayWrite().then((mayWrite) => {
      if (!mayWrite && session.token === token) becomeReadOnly();
    });
  }
  await caller.drafts.adopt();
  if (session.token !== token) return;
  isReady = true;
  list.refresh();
  showUnsaved();
  caller.saver.saveQueued();
  showNote();
}

// askForToken shows the form for a token instead of the notes.
function askForToken(reason) {
  list.stop();
  showEntrance(reason, (token, isKept) => {
    session.use(token, isKept);
    document.body.classList.remove('read-only');
    say($('notice'), '');
    enter();
  });
}

function becomeReadOnly() {
  session.isReadOnly = true;
  document.body.classList.add('read-only');
  say($('notice'), t('readonly'));
  if (editor.draft) editor.open(editor.draft);
}

// report says what a failure of a read means. It returns after how many seconds to try again, or 0 for never. A
// failure of null is a success.
function report(failure, again) {
  if (!failure) {
    say($('notice'), session.isReadOnly ? t('readonly') : '');
    return 0;
  }
  if (!(failure instanceof Failure)) throw failure; // a fault of the page
  if (failure.status === 401) {
    askForToken(session.token ? t('token.refused') : '');
    return 0;
  }
  if (!failure.isTransient) {
    say($('notice'), t('failed', { detail: describe(failure) }));
    return 0;
  }
  const seconds = Math.ceil(failure.retryAfter ?? defaultWait);
  say($('notice'), t(failure.status ? 'busy' : 'offline', { seconds, status: failure.status }));
  addEventListener('online', again, { once: true });
  return seconds;
}

// isEntered reports whether notes are shown, and not the form for the token.
function isEntered() {
  return caller.drafts !== null && $('entrance').hidden;
}

// showPlace shows what the URL says.
function showPlace() {
  if (!isEntered()) return;
  showFilters();
  showList();
  showNote();
}

// showFilters puts the search and the tags into the form.
function showFilters() {
  const { query, tags } = place();
  if (document.activeElement !== $('query')) $('query').value = query;
  $('filters').replaceChildren(...tags.map((tag) => {
    const button = element('button', { type: 'button',
      onclick: () => go({ tags: tags.filter((other) => other !== tag) }) }, isolated(tag), ' ×');
    button.ariaLabel = t('filter.remove', { tag });
    return element('li', {}, button);
  }));
}

// showList lists the notes that the filter lets through, if it is another one than before.
async function showList() {
  const { query, tags } = place(), wanted = JSON.stringify([query, tags]);
  if (wanted === listed) return;
  listed = wanted;
  await list.start(new Walk(client, { query, tags }));
  list.markOpen(place().note);
}

// showNote opens the note of the URL, with the changes that are not saved.
async function showNote() {
  const id = place().note, before = opened;
  if (!isReady || id === before) return;
  const opening = ++openings;
  opened = id;
  editor.close();
  list.markOpen(id);
  if (!id) {
    list.focus(before);
    return;
  }
  let draft = caller.drafts.get(id);
  try {
    draft ??= id.startsWith('new.') ? { ...newDraft(), id } : newDraft(await client.get(id));
  } catch (failure) {
    if (opening !== openings) return;
    opened = '';
    if (failure.status === 404) {
      say($('notice'), t('gone'));
      replace({ note: '' });
    } else {
      const seconds = report(failure, showNote);
      if (seconds) setTimeout(showNote, seconds * 1000);
    }
    return;
  }
  if (opening !== openings) return; // the reader has gone on
  editor.open(caller.drafts.get(id) ?? draft);
  if (draft.note) $('note-pane').focus();
  else $('title').focus();
}

// showDraft shows the state of a draft wherever it is shown.
function showDraft(draft) {
  if (draft.failure?.status === 401 && isEntered()) askForToken(t('token.refused'));
  if (draft.failure?.status === 403 && !session.isReadOnly) becomeReadOnly();
  list.refreshNote(draft.id);
  showUnsaved();
  editor.show(draft);
}

// showSaved shows a note that was saved.
function showSaved(note, draft) {
  list.put(note);
  if (editor.draft === draft) {
    opened = note.id;
    replace({ note: note.id });
    list.markOpen(note.id);
  }
  showUnsaved();
  editor.showSaved(draft);
}

// showUnsaved lists the drafts.
function showUnsaved() {
  const { note } = place();
  $('unsaved').replaceChildren(...caller.drafts.all.filter((draft) =>
    (isChanged(draft) || draft.isGone) && !removals.has(draft.id)).map((draft) => {
    const link = element('a', { href: urlOf({ ...place(), note: draft.id }) },
      isolated(draft.fields.title || t('untitled')), element('em', {}, t('row.draft')));
    if (draft.id === note) link.ariaCurrent = 'true';
    return element('li', {}, link);
  }));
}

function listenToControls() {
  const create = () => {
    if (isEntered() && !session.isReadOnly) go({ note: newDraft().id });
  };
  const close = () => go({ note: '' });
  $('new').onclick = create;
  $('close').onclick = close;
  addEventListener('hashchange', showPlace);
  addEventListener('online', () => caller.saver?.saveQueued());
  let timer;
  const search = () => {
    clearTimeout(timer);
    replace({ query: $('query').value.trim() });
  };
  $('query').oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(search, typing);
  };
  $('search').onsubmit = (event) => {
    event.preventDefault();
    search();
  };
  $('tag').onchange = () => {
    const tag = $('tag').value.trim();
    $('tag').value = '';
    if (tag) go({ tags: [...new Set([...place().tags, tag])] });
  };
  $('forget').onclick = () => {
    editor.close();
    removals.flush(); // while there is still a token
    session.forget();
    location.reload(); // so that nothing of the notes stays in memory
  };
  $('language').value = texts.language();
  $('language').onchange = async () => {
    const language = $('language').value;
    document.cookie = `notes-language=${language}; path=${base || '/'}; max-age=31536000; samesite=lax`;
    try {
      await texts.load(language);
    } catch {
      location.reload(); // the service has another version of the page by now
      return;
    }
    texts.apply();
    showSource();
    if (!isEntered()) return;
    showFilters();
    list.refresh();
    showUnsaved();
    if (session.isReadOnly) say($('notice'), t('readonly'));
    if (editor.draft) editor.open(editor.draft);
  };
  const ifEntered = (action) => (...args) => isEntered() && action(...args);
  keys.listen({
    create, close,
    search: ifEntered(() => $('query').focus()),
    move: ifEntered((step) => list.move(step)),
    save: ifEntered(() => editor.save()),
    remove: ifEntered(() => editor.remove()),
    undo: ifEntered(() => removals.undo()),
  });
}
