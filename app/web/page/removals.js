// Deletes notes after a delay in which the reader can undo it.

import { defaultWait } from './api.js';
import { $, element, isolated } from './dom.js';
import { t } from './texts.js';

// delay is the time to undo, in milliseconds.
const delay = 8000;

export class Removals {
  #client;
  #changed; // is called with the id of a note that disappears or comes back
  #deleted; // is called with the id of a note that is deleted
  #restore; // is called with a note that was deleted before it could be undone
  #pending = new Map(); // from id to {note, timer, toast, isSent, isUnsure}

  constructor(client, { changed, deleted, restore }) {
    this.#client = client;
    this.#changed = changed;
    this.#deleted = deleted;
    this.#restore = restore;
    // The page may not come back, so what is to be deleted is deleted now.
    addEventListener('pagehide', () => this.flush());
  }

  // has reports whether a note is to be deleted, and so is not shown.
  has(id) {
    return this.#pending.has(id);
  }

  // remove deletes a note after the delay, unless the reader undoes it.
  remove(note) {
    const undo = element('button', { type: 'button', textContent: t('undo'), onclick: () => this.undo(note.id) });
    const toast = show('deleted', note, undo);
    this.#pending.set(note.id, { note, toast, timer: setTimeout(() => this.#send(note.id), delay) });
    this.#changed(note.id);
  }

  // undo keeps a note that is to be deleted: by default the last one. If a request to delete it was sent and nobody
  // knows whether it was carried out, undo looks; what was deleted comes back as a draft of a new note.
  async undo(id = [...this.#pending].findLast(([, removal]) => !removal.isSent)?.[0]) {
    const removal = this.#pending.get(id);
    if (!removal || removal.isSent) return;
    if (removal.isUnsure) {
      removal.isSent = true;
      clearTimeout(removal.timer);
      try {
        await this.#client.get(id);
      } catch (failure) {
        if (failure.status !== 404) {
          this.#retry(id, failure);
          return;
        }
        removal.toast.remove();
        this.#deleted(id);
        this.#restore(removal.note);
        return;
      }
    }
    this.#end(id);
    announce('undeleted', removal.note);
    this.#changed(id);
  }

  // flush deletes at once what is to be deleted.
  flush() {
    for (const id of this.#pending.keys()) this.#send(id);
  }

  async #send(id) {
    const removal = this.#pending.get(id);
    if (!removal || removal.isSent) return;
    clearTimeout(removal.timer);
    removal.isSent = true;
    try {
      await this.#client.remove(id, removal.note.etag);
    } catch (failure) {
      if (failure.isTransient) {
        removal.isUnsure ||= failure.status !== 429;
        this.#retry(id, failure);
        return;
      }
      if (failure.status !== 404) { // 404: it is deleted already
        this.#end(id);
        if (failure.status === 412) announce('delete.changed', removal.note);
        else announce('delete.failed', removal.note, failure.message);
        this.#changed(id);
        return;
      }
    }
    removal.toast.remove();
    this.#deleted(id);
    // It stays among the pending ones, so that a list that was read before does not show it again.
  }

  #retry(id, failure) {
    const removal = this.#pending.get(id);
    removal.isSent = false;
    removal.timer = setTimeout(() => this.#send(id), (failure.retryAfter ?? defaultWait) * 1000);
  }

  #end(id) {
    const removal = this.#pending.get(id);
    clearTimeout(removal.timer);
    removal.toast.remove();
    this.#pending.delete(id);
  }
}

// show adds a message about a note at the bottom of the page, and returns its element.
function show(key, note, ...buttons) {
  const [before, after] = t(key, { title: '\n' }).split('\n');
  const toast = element('p', {}, element('span', {}, before, isolated(shorten(note.title)), after), ...buttons);
  $('toasts').append(toast);
  return toast;
}

// announce shows a message for a while.
function announce(key, note, detail) {
  const toast = show(key, note);
  if (detail) toast.append(` (${detail})`);
  setTimeout(() => toast.remove(), delay);
}

const shorten = (title) => (title.length > 60 ? `${title.slice(0, 60)}…` : title);
