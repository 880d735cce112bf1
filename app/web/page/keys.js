// Keyboard shortcuts. Those of a single key work outside text fields and can be switched off, for people who dictate
// (WCAG 2.2, criterion 2.1.4).

import { $ } from './dom.js';

const storageName = 'notes-single-keys';

// listen calls the action of each shortcut: {create, search, move, save, close, remove, undo}.
export function listen(actions) {
  const single = $('single-keys');
  try {
    single.checked = localStorage.getItem(storageName) !== 'off';
    single.onchange = () => localStorage.setItem(storageName, single.checked ? 'on' : 'off');
  } catch {
    single.checked = true; // storage is forbidden
  }
  const help = () => $('keys').showModal();
  $('help').onclick = help;
  const singleKeys = { n: actions.create, '/': actions.search, j: () => actions.move(1), k: () => actions.move(-1),
    u: actions.undo, '?': help };
  const controlKeys = { s: actions.save, Delete: actions.remove };
  addEventListener('keydown', (event) => {
    if (event.isComposing || $('keys').open) return;
    const isText = event.target.matches?.('input:not([type=checkbox]), textarea, select');
    let action;
    if (event.ctrlKey || event.metaKey) {
      // In a text, Ctrl+Delete deletes a word.
      if (!event.altKey && !event.shiftKey && !(isText && event.key === 'Delete')) action = controlKeys[event.key];
    } else if (event.key === 'Escape') action = actions.close;
    else if (!event.altKey && !isText && single.checked) action = singleKeys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
