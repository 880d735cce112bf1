// The open note: a form whose changes go into a draft.

import { showConflict } from './conflict.js';
import { $, element, isolated, say } from './dom.js';
import { fieldsOf, isChanged } from './drafts.js';
import { go } from './place.js';
import { formatTime, t } from './texts.js';

// Limits of the service.
const maxTitle = 200; // characters
const maxContent = 262_144; // bytes of UTF-8
const maxTag = 50; // characters
const maxTags = 20;

// pause is how long the reader must stop typing before a draft is stored, in milliseconds.
const pause = 300;

const inputs = { title: $('title'), content: $('content') };

export class Editor {
  #caller; // {drafts, saver}
  #removals;
  #isReadOnly; // reports whether the token may not change notes
  #changed; // is called when a draft appears or ends
  #draft; // of the open note, also if it is not changed; undefined if none is open
  #timer;

  constructor({ caller, removals, isReadOnly, changed }) {
    this.#caller = caller;
    this.#removals = removals;
    this.#isReadOnly = isReadOnly;
    this.#changed = changed;
    for (const input of Object.values(inputs)) input.oninput = () => this.#edit();
    $('editor').onsubmit = (event) => {
      event.preventDefault();
      this.save();
    };
    $('new-tag').onkeydown = (event) => {
      if (event.key === 'Enter' && !event.isComposing) {
        event.preventDefault(); // which would save the note
        this.#addTag();
      }
    };
    $('new-tag').onchange = () => this.#addTag();
    $('discard').onclick = () => this.discard();
    $('delete').onclick = () => this.remove();
    addEventListener('pagehide', () => this.keep());
    addEventListener('beforeunload', (event) => {
      this.keep();
      if (this.#caller.drafts?.isKept() === false) event.preventDefault(); // the browser asks the reader
    });
  }

  get draft() {
    return this.#draft;
  }

  // open shows a draft.
  open(draft) {
    this.close();
    this.#draft = draft;
    $('nothing').hidden = true;
    $('note').hidden = false;
    document.body.classList.add('open');
    this.#fill();
    this.show(draft);
  }

  // close shows no note. A draft with changes is kept.
  close() {
    if (this.#draft) this.#addTag();
    this.keep();
    this.#draft = undefined;
    $('nothing').hidden = false;
    $('note').hidden = true;
    document.body.classList.remove('open');
  }

  // save sends the open note, if it is changed and valid.
  save() {
    const draft = this.#draft;
    if (!draft || this.#isReadOnly()) return;
    this.#addTag();
    this.keep();
    if (this.#showMistakes()) return;
    if (draft.note && !draft.isGone && !isChanged(draft)) {
      draft.isSaved = true;
      this.show(draft);
      return;
    }
    if (draft.theirs) {
      $('conflict').querySelector('button').focus(); // the reader must choose first
      return;
    }
    this.#caller.saver.save(draft);
  }

  // discard drops the changes. A new note is closed.
  discard() {
    const draft = this.#draft;
    if (draft.isSaving) return;
    this.#caller.drafts.drop(draft);
    Object.assign(draft, { fields: fieldsOf(draft.base), queued: false, failure: null, theirs: null });
    this.#changed(draft);
    if (!draft.note || draft.isGone) {
      go({ note: '' });
      return;
    }
    this.#fill();
    this.show(draft);
  }

  // remove deletes the open note, after a delay in which the reader can undo it.
  remove() {
    const draft = this.#draft;
    if (!draft?.note || draft.isGone || draft.isSaving || this.#isReadOnly()) return;
    clearTimeout(draft.timer);
    Object.assign(draft, { queued: false, failure: null });
    this.keep(); // until the note is deleted
    this.#removals.remove(draft.base);
    go({ note: '' });
  }

  // show shows the state of the draft, if it is the open one.
  show(draft) {
    if (draft !== this.#draft) return;
    const isReadOnly = this.#isReadOnly(), isNew = !draft.note;
    for (const input of Object.values(inputs)) input.readOnly = isReadOnly;
    for (const id of ['save', 'discard', 'delete', 'new-tag']) $(id).hidden = isReadOnly;
    $('delete').hidden ||= isNew || draft.isGone;
    $('discard').hidden ||= !isNew && !isChanged(draft) && !draft.isGone;
    // A disabled button would lose the focus.
    for (const id of ['save', 'discard', 'delete']) $(id).ariaDisabled = draft.isSaving ?? false;
    const { base } = draft;
    $('times').textContent = base ? t('note.times', { created: formatTime(base.created_at),
      updated: formatTime(base.updated_at), version: base.version }) : '';
    say($('state'), this.#state());
    showConflict(draft, () => {
      this.keep();
      this.#fill();
      this.show(draft);
    }, (key) => say($('state'), t(key)));
  }

  // showSaved shows what the service has made of the draft: it removes white space around a title, for example.
  showSaved(draft) {
    if (draft !== this.#draft) return;
    this.#fill();
    this.show(draft);
  }

  // keep stores the draft at once.
  keep() {
    clearTimeout(this.#timer);
    const draft = this.#draft;
    if (!draft) return;
    const isKnown = this.#caller.drafts.get(draft.id) !== undefined;
    if (isChanged(draft) || draft.isGone) this.#caller.drafts.keep(draft);
    else if (isKnown && !draft.queued) this.#caller.drafts.drop(draft);
    if (isKnown !== (this.#caller.drafts.get(draft.id) !== undefined)) this.#changed(draft);
  }

  // #edit takes what the reader has typed into the draft.
  #edit() {
    const draft = this.#draft;
    draft.fields.title = inputs.title.value;
    draft.fields.content = inputs.content.value;
    draft.isSaved = false;
    draft.failure = draft.failure?.isTransient ? draft.failure : null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.keep();
      this.show(draft);
    }, pause);
    if (document.querySelector('#editor [aria-invalid=true]')) this.#showMistakes();
  }

  #addTag() {
    if (!this.#draft || this.#isReadOnly()) return;
    const tag = $('new-tag').value.trim();
    $('new-tag').value = '';
    const { tags } = this.#draft.fields;
    if (!tag || tags.includes(tag)) return;
    tags.push(tag);
    this.#showTags();
    this.#edit();
  }

  #removeTag(tag) {
    const { fields } = this.#draft;
    fields.tags = fields.tags.filter((other) => other !== tag);
    this.#showTags();
    this.#edit();
    $('new-tag').focus();
  }

  // #fill puts the draft into the form.
  #fill() {
    const { fields } = this.#draft;
    for (const [name, input] of Object.entries(inputs)) {
      if (input.value !== fields[name]) input.value = fields[name]; // setting it moves the cursor
    }
    $('new-tag').value = '';
    this.#showTags();
    this.#showMistakes(false);
  }

  #showTags() {
    const isReadOnly = this.#isReadOnly();
    $('tags').replaceChildren(...this.#draft.fields.tags.map((tag) => {
      const remove = element('button', { type: 'button', textContent: '×', hidden: isReadOnly,
        onclick: () => this.#removeTag(tag) });
      remove.ariaLabel = t('note.removetag', { tag });
      return element('li', {}, isolated(tag), remove);
    }));
  }

  // #showMistakes shows beside each field what is wrong with it. It reports whether anything is.
  #showMistakes(isChecked = true) {
    const found = isChecked ? mistakesIn(this.#draft.fields) : {};
    for (const [name, input] of [['title', inputs.title], ['content', inputs.content], ['tags', $('new-tag')]]) {
      $(`${name}-error`).textContent = found[name] ?? '';
      input.setAttribute('aria-invalid', name in found);
    }
    const [first] = Object.keys(found);
    if (first && !$('editor').contains(document.activeElement)) $(first === 'tags' ? 'new-tag' : first).focus();
    return first !== undefined;
  }

  // #state says whether the draft is saved, and if not, why.
  #state() {
    const draft = this.#draft, { failure } = draft;
    if (this.#isReadOnly()) return t('readonly');
    if (draft.isSaving) return t('state.saving');
    if (draft.theirs) return t('state.conflict');
    if (draft.isGone) return t('state.gone');
    if (failure?.status === 401) return t('state.token');
    if (!this.#caller.drafts.isKept(draft)) return t('state.unkept');
    if (failure?.isTransient) {
      const seconds = Math.max(1, Math.ceil((draft.retryAt - Date.now()) / 1000));
      return t(failure.status ? 'state.busy' : 'state.offline', { seconds, status: failure.status });
    }
    if (failure) return t('state.failed', { detail: describe(failure) });
    if (!isChanged(draft)) return draft.isSaved ? t('state.saved') : '';
    return t(this.#caller.drafts.isKept(draft) ? 'state.unsaved' : 'state.unkept');
  }
}

// describe returns what a failure says about the cause.
export function describe(failure) {
  const mistakes = failure.mistakes.map(({ pointer = '', detail }) => `${pointer.slice(1)} ${detail}`).join('; ');
  return mistakes || failure.message || t('unexpected', { status: failure.status });
}

// mistakesIn returns what is wrong with each field, by its name, as far as the page knows; the service checks all.
function mistakesIn({ title, content, tags }) {
  const found = {}, characters = (text) => [...text].length;
  const n = characters(title.trim());
  if (n < 1 || n > maxTitle) found.title = t('mistake.title', { n });
  const bytes = new TextEncoder().encode(content).length;
  if (bytes > maxContent) found.content = t('mistake.content', { n: bytes });
  if (tags.length > maxTags || tags.some((tag) => characters(tag) > maxTag)) found.tags = t('mistake.tags');
  return found;
}
