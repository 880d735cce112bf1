// Drafts: text that the service does not have yet. They are kept in the browser's local storage, so that they outlast
// the page.

import { newKey } from './api.js';
import { lines, merge } from './diff.js';

// A draft is {id, note, base, fields, key, sent, isUnsure, queued}:
//   id      of the draft; that of the note if there is one
//   note    id of the note, or null for a new one
//   base    the note that the fields were changed from, with its etag; null for a new note
//   fields  {title, content, tags} as the reader sees them
//   key     idempotency key of the creation
//   sent    fields of a creation whose answer is not known yet, or null
//   isUnsure  whether that creation may have been carried out
//   queued  whether the reader wants it to be saved
// and, while the page is open:
//   isSaving  whether it is being sent
//   isSaved   whether it has been saved, and not been changed since
//   failure   of the last attempt to save it
//   tried     fields of the attempts to change the note since the last success
//   attempts  how many have failed in a row
//   retryAt   time of the next one, with its timer
//   theirs    the current note, if the draft is in conflict with it
//   isGone    whether the note was deleted elsewhere
const stored = ({ id, note, base, fields, key, sent, isUnsure, queued }) =>
  ({ id, note, base, fields, key, sent, isUnsure, queued });

// newDraft returns a draft of a new note, or of changes to a note.
export function newDraft(note = null) {
  const key = newKey();
  return { id: note?.id ?? `new.${key}`, note: note?.id ?? null, base: note, fields: fieldsOf(note), key, sent: null,
    isUnsure: false, queued: false };
}

// fieldsOf returns the fields of a note as a text area holds them: its line ends are LF alone.
export function fieldsOf(note) {
  return { title: note?.title ?? '', content: withLF(note?.content ?? ''), tags: [...note?.tags ?? []] };
}

const withLF = (text) => text.replace(/\r\n?/g, '\n');

// isSame reports whether two sets of fields are equal.
export const isSame = (a, b) => a.title === b.title && a.content === b.content && isSameList(a.tags, b.tags);

const isSameList = (a, b) => a.length === b.length && a.every((item, i) => item === b[i]);

// isChanged reports whether a draft differs from what it was made from.
export const isChanged = (draft) => !isSame(draft.fields, fieldsOf(draft.base));

// changes returns the fields that a draft changes. A text whose line ends were all CRLF, or all CR, gets them back.
export function changes({ base, fields }) {
  const before = fieldsOf(base), changed = {};
  if (fields.title !== before.title) changed.title = fields.title;
  if (fields.content !== before.content) {
    const ends = new Set(base.content.match(/\r\n|\r|\n/g));
    changed.content = ends.size === 1 ? fields.content.replaceAll('\n', [...ends][0]) : fields.content;
  }
  if (!isSameList(fields.tags, before.tags)) changed.tags = fields.tags;
  return changed;
}

// mergeWith puts the changes of theirs, the current note, into a draft and makes theirs its base. It reports whether
// both had changed the title or the same lines. Then the draft has my title, and my lines before theirs.
export function mergeWith(draft, theirs) {
  const base = fieldsOf(draft.base), mine = draft.fields, other = fieldsOf(theirs);
  const { merged, overlaps } = merge(lines(base.content), lines(mine.content), lines(other.content));
  const isKept = (tag) => !base.tags.includes(tag) || (mine.tags.includes(tag) && other.tags.includes(tag));
  const isTitleMine = mine.title !== base.title;
  draft.fields = {
    title: isTitleMine ? mine.title : other.title,
    content: merged.join('\n'),
    tags: [...new Set([...other.tags, ...mine.tags])].filter(isKept),
  };
  draft.base = theirs;
  return overlaps || (isTitleMine && other.title !== base.title && other.title !== mine.title);
}

// Drafts keeps the drafts of one caller. A draft belongs to one open page, so that two pages with the same note do not
// overwrite each other's. The drafts of pages that were closed go to the next page that asks for them.
export class Drafts {
  #prefix;
  #page = newKey();
  #channel = new BroadcastChannel('notes-pages');
  #all = new Map();
  #unkept = new Set(); // ids of drafts that the browser has not stored

  // The base is the path of the service, and the caller a name for whoever has the token.
  constructor(base, caller) {
    this.#prefix = `notes-draft ${base} ${caller} `;
    this.#channel.onmessage = ({ data }) => {
      if (data.ask) this.#channel.postMessage({ open: this.#page });
    };
  }

  get all() {
    return [...this.#all.values()];
  }

  get(id) {
    return this.#all.get(id);
  }

  // keep keeps a draft, in memory and if possible in storage.
  keep(draft) {
    this.#all.set(draft.id, draft);
    try {
      localStorage.setItem(this.#name(draft.id), JSON.stringify(stored(draft)));
      this.#unkept.delete(draft.id);
    } catch {
      this.#unkept.add(draft.id); // no room, or storage is forbidden
    }
  }

  // isKept reports whether the browser has stored a draft, or all of them.
  isKept(draft) {
    return draft ? !this.#unkept.has(draft.id) : this.#unkept.size === 0;
  }

  drop(draft) {
    clearTimeout(draft.timer);
    this.#all.delete(draft.id);
    this.#unkept.delete(draft.id);
    try {
      localStorage.removeItem(this.#name(draft.id));
    } catch { /* then it was not stored either */ }
  }

  // adopt takes over the drafts of pages that are no longer open. Open pages answer within a moment.
  async adopt() {
    const open = new Set([this.#page]);
    const answers = new BroadcastChannel('notes-pages');
    answers.onmessage = ({ data }) => open.add(data.open);
    answers.postMessage({ ask: true });
    await new Promise((resolve) => setTimeout(resolve, 150));
    answers.close();
    let names = [];
    try {
      names = Object.keys(localStorage).filter((name) => name.startsWith(this.#prefix));
    } catch { /* storage is forbidden */ }
    for (const name of names) {
      const [page, id] = name.slice(this.#prefix.length).split(' ');
      if (id && !open.has(page) && !this.#all.has(id)) this.#take(name);
    }
  }

  // #take takes over the draft that is stored under a name. If the browser has no room to store it under the new one,
  // it stays under the old one.
  #take(name) {
    const text = localStorage.getItem(name);
    try {
      const draft = JSON.parse(text);
      localStorage.removeItem(name); // first, since there may be no room for both
      this.keep(draft);
      if (!this.isKept(draft)) localStorage.setItem(name, text);
    } catch { /* it is not a draft */ }
  }

  // close gives the drafts to the pages that are opened later.
  close() {
    this.#channel.close();
    for (const draft of this.all) clearTimeout(draft.timer);
  }

  #name(id) {
    return `${this.#prefix}${this.#page} ${id}`;
  }
}
