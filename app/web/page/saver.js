// Sends drafts to the service: once for each save, and again after failures that may pass.

import { newKey } from './api.js';
import { changes, fieldsOf, isChanged, isSame } from './drafts.js';

// maxWait is the longest time between two attempts, in seconds, if the service does not say how long to wait.
const maxWait = 60;

// trimmed returns fields without the white space that the service removes.
const trimmed = ({ title, content, tags }) => ({ title: title.trim(), content, tags: tags.map((tag) => tag.trim()) });

export class Saver {
  #client;
  #drafts;
  #changed; // is called with a draft whose state has changed
  #saved; // is called with a note that was saved, and its draft

  constructor(client, drafts, { changed, saved }) {
    this.#client = client;
    this.#drafts = drafts;
    this.#changed = changed;
    this.#saved = saved;
  }

  // save sends a draft. After a failure that may pass it tries again, as Retry-After says or less and less often.
  async save(draft) {
    if (draft.isSaving) return;
    clearTimeout(draft.timer);
    if (draft.isGone) this.#startAnew(draft);
    Object.assign(draft, { queued: true, isSaving: true, isSaved: false, failure: null, retryAt: 0 });
    this.#changed(draft);
    const sending = structuredClone(draft.fields);
    try {
      const note = await this.#send(draft);
      draft.attempts = 0;
      draft.queued = false;
      this.#settle(draft, note, sending);
    } catch (failure) {
      await this.#fail(draft, failure, sending);
    } finally {
      draft.isSaving = false;
    }
    this.#changed(draft);
  }

  // saveQueued sends the drafts that wait for another attempt.
  saveQueued() {
    for (const draft of this.#drafts.all) {
      if (draft.queued) this.save(draft);
    }
  }

  // #send creates the note if there is none yet, and changes what differs. If the answer to a creation was lost and the
  // draft has changed since, it first repeats that creation, which gives the same note again.
  async #send(draft) {
    if (draft.note) {
      const changed = changes(draft);
      return Object.keys(changed).length ? this.#client.change(draft.note, draft.base.etag, changed) : draft.base;
    }
    draft.sent ??= structuredClone(draft.fields);
    this.#drafts.keep(draft);
    let note;
    try {
      note = await this.#client.create(draft.sent, draft.key);
    } catch (failure) {
      if (failure.status >= 400 && failure.status < 500) { // refused, so there is no note
        draft.sent = null;
        if (failure.code === 'idempotency_key_reused') draft.key = newKey();
      }
      throw failure;
    }
    const isAll = isSame(draft.sent, draft.fields);
    this.#drafts.drop(draft);
    Object.assign(draft, { id: note.id, note: note.id, base: note, sent: null });
    this.#drafts.keep(draft);
    this.#saved(note, draft);
    return isAll ? note : this.#send(draft);
  }

  // #settle ends a save: the draft is done, unless the reader has changed it meanwhile.
  #settle(draft, note, sent) {
    if (isSame(draft.fields, sent)) draft.fields = fieldsOf(note); // the service trims titles and tags
    Object.assign(draft, { base: note, isSaved: true });
    if (isChanged(draft)) this.#drafts.keep(draft);
    else this.#drafts.drop(draft);
    this.#saved(note, draft);
  }

  async #fail(draft, failure, sent) {
    draft.failure = failure;
    if (failure.status === 412) {
      try {
        const theirs = await this.#client.get(draft.note);
        if (isSame(fieldsOf(theirs), trimmed(sent))) { // our own change, whose answer was lost
          Object.assign(draft, { failure: null, queued: false });
          this.#settle(draft, theirs, sent);
          return;
        }
        draft.theirs = theirs;
      } catch (second) {
        draft.failure = failure = second;
      }
    }
    draft.isGone = failure.status === 404 && draft.note !== null;
    if (failure.isTransient) {
      draft.attempts = (draft.attempts ?? 0) + 1;
      const wait = failure.retryAfter ?? Math.min(2 ** draft.attempts, maxWait);
      draft.retryAt = Date.now() + wait * 1000;
      draft.timer = setTimeout(() => this.save(draft), wait * 1000);
    } else {
      draft.queued = failure.status === 401; // until there is another token
    }
    this.#drafts.keep(draft);
  }

  // #startAnew makes a draft of a deleted note one of a new note.
  #startAnew(draft) {
    this.#drafts.drop(draft);
    const key = newKey();
    Object.assign(draft, { id: `new.${key}`, key, note: null, base: null, sent: null, isGone: false });
  }
}
