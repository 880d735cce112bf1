// Sends drafts to the service: once for each save, and again after failures that may pass.

import { Failure, newKey } from './api.js';
import { changes, fieldsOf, isChanged, isSame } from './drafts.js';

// maxWait is the longest time between two attempts, in seconds, if the service does not say how long to wait.
const maxWait = 60;

// maxTried is how many earlier attempts to change a note are remembered.
const maxTried = 9;

// trimmed returns fields without the white space that the service removes.
const trimmed = ({ title, content, tags }) => ({ title: title.trim(), content, tags: tags.map((tag) => tag.trim()) });

export class Saver {
  #client;
  #drafts;
  #changed; // is called with a draft whose state has changed
  #saved; // is called with a note that was saved, and its draft
  #isStopped = false;

  constructor(client, drafts, { changed, saved }) {
    this.#client = client;
    this.#drafts = drafts;
    this.#changed = changed;
    this.#saved = (note, draft) => this.#isStopped || saved(note, draft);
  }

  // stop ends the attempts. A save in progress ends with its present request.
  stop() {
    this.#isStopped = true;
  }

  // save sends a draft. After a failure that may pass it tries again, as Retry-After says or less and less often.
  async save(draft) {
    if (draft.isSaving || this.#isStopped) return;
    clearTimeout(draft.timer);
    if (draft.isGone) this.#startAnew(draft);
    Object.assign(draft, { queued: true, isSaving: true, isSaved: false, failure: null, retryAt: 0 });
    this.#changed(draft);
    const sending = structuredClone(draft.fields);
    try {
      this.#settle(draft, await this.#send(draft), sending);
    } catch (failure) {
      this.#fail(draft, failure);
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

  // #send creates the note if there is none yet, and changes what differs.
  async #send(draft) {
    if (!draft.note) {
      const note = await this.#create(draft);
      this.#drafts.drop(draft);
      Object.assign(draft, { id: note.id, note: note.id, base: note, sent: null, isUnsure: false });
      this.#drafts.keep(draft);
      this.#saved(note, draft);
    }
    return this.#change(draft);
  }

  // #create creates the note. If an answer was lost and the draft has changed since, it repeats the same creation,
  // which gives the same note again.
  async #create(draft) {
    draft.sent ??= structuredClone(draft.fields);
    this.#drafts.keep(draft);
    try {
      return await this.#client.create(draft.sent, draft.key);
    } catch (failure) {
      if (isUnsure(failure)) draft.isUnsure = true;
      else if (!draft.isUnsure || [400, 413, 415, 422].includes(failure.status)) draft.sent = null; // there is no note
      if (failure.code === 'idempotency_key_reused') Object.assign(draft, { key: newKey(), isUnsure: false });
      throw failure;
    }
  }

  // #change sends what differs from the note. If the note was changed, it may have been by an earlier attempt, whose
  // answer was lost; then the rest is sent.
  async #change(draft) {
    const changed = changes(draft);
    if (Object.keys(changed).length === 0) return draft.base;
    if (this.#isStopped) throw new Failure(401);
    draft.tried = [...(draft.tried ?? []).slice(-maxTried), trimmed(draft.fields)];
    try {
      return await this.#client.change(draft.note, draft.base.etag, changed);
    } catch (failure) {
      if (failure.status !== 412) throw failure;
      const theirs = await this.#client.get(draft.note);
      if (draft.tried.some((fields) => isSame(fieldsOf(theirs), fields))) {
        draft.base = theirs;
        return this.#change(draft);
      }
      draft.theirs = theirs;
      throw failure;
    }
  }

  // #settle ends a save: the draft is done, unless the reader has changed it meanwhile.
  #settle(draft, note, sent) {
    if (isSame(draft.fields, sent)) draft.fields = fieldsOf(note); // the service trims titles and tags
    Object.assign(draft, { base: note, isSaved: true, queued: false, attempts: 0, tried: [] });
    if (isChanged(draft)) this.#drafts.keep(draft);
    else this.#drafts.drop(draft);
    this.#saved(note, draft);
  }

  #fail(draft, failure) {
    if (!(failure instanceof Failure)) throw failure; // a fault of the page
    draft.failure = failure;
    draft.isGone = failure.status === 404 && draft.note !== null;
    draft.queued = failure.isTransient || failure.status === 401; // until there is another token
    if (failure.isTransient && !this.#isStopped) {
      draft.attempts = (draft.attempts ?? 0) + 1;
      const wait = failure.retryAfter ?? Math.min(2 ** draft.attempts, maxWait);
      draft.retryAt = Date.now() + wait * 1000;
      draft.timer = setTimeout(() => this.save(draft), wait * 1000);
    }
    this.#drafts.keep(draft);
  }

  // #startAnew makes a draft of a deleted note one of a new note.
  #startAnew(draft) {
    this.#drafts.drop(draft);
    const key = newKey();
    Object.assign(draft, { id: `new.${key}`, key, note: null, base: null, sent: null, isUnsure: false, isGone: false });
  }
}

// isUnsure reports whether a write may have been carried out in spite of a failure.
const isUnsure = (failure) => failure.status === 0 || failure.status >= 500;
