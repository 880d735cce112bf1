// The list of notes, with what the reader filters it by.

import { $, element, isolated, say } from './dom.js';
import { formatTime, t } from './texts.js';

// batch is how many notes are read at a time. The first ones of a list are fewer, because they are shown at once; in a
// search, the service may examine many notes to find one.
const batch = { first: 50, next: 100 };

// excerpt is how much of a text a row shows at most, in UTF-16 code units.
const excerpt = 160;

export class List {
  #link; // returns the URL that opens a note
  #addTag; // is called with a tag that the reader wants to filter by
  #isHidden; // reports whether a note is to be deleted
  #isDraft; // reports whether a note has changes that are not saved
  #report; // is called with a failure, and what to do to try again
  #walk;
  #rows = new Map(); // from id to {note, row}, in the order of the list; the note without most of its text
  #isReading = false;
  #timer;
  #near; // notices that the end of the list comes near

  constructor({ link, addTag, isHidden, isDraft, report }) {
    this.#link = link;
    this.#addTag = addTag;
    this.#isHidden = isHidden;
    this.#isDraft = isDraft;
    this.#report = report;
    $('more').onclick = () => this.more();
    this.#near = new IntersectionObserver((events) => events.at(-1).isIntersecting && this.more(),
      { root: $('list-pane'), rootMargin: '600px' });
  }

  // start shows the notes of a walk, in place of those before.
  start(walk) {
    this.#walk?.stop();
    clearTimeout(this.#timer);
    this.#walk = walk;
    this.#isReading = false;
    this.#rows.clear();
    $('list').replaceChildren();
    return this.more();
  }

  // more shows more notes, as far as there are any.
  async more() {
    const walk = this.#walk;
    if (!walk || this.#isReading || walk.isDone) return;
    this.#isReading = true;
    clearTimeout(this.#timer);
    this.#near.unobserve($('more')); // until there are more notes
    this.showProgress();
    try {
      await walk.more(walk.isFiltered || walk.found ? batch.next : batch.first, (notes) => {
        this.#append(notes);
        this.showProgress();
      });
    } catch (failure) {
      if (walk.isStopped) return;
      this.#isReading = false;
      this.showProgress();
      const wait = this.#report(failure, () => this.more());
      if (wait) this.#timer = setTimeout(() => this.more(), wait * 1000);
      return;
    }
    if (walk.isStopped) return;
    this.#isReading = false;
    this.#report(null);
    $('more').hidden = walk.isDone;
    if (!walk.isDone) this.#near.observe($('more'));
    this.showProgress();
  }

  // stop ends the reading.
  stop() {
    this.#walk?.stop();
    clearTimeout(this.#timer);
    this.#walk = undefined;
  }

  // put shows a note that was saved: in its row, or in a new one at the top.
  put(note) {
    const known = this.#rows.get(note.id);
    if (known) {
      known.note = brief(note);
      this.refreshNote(note.id);
    } else {
      const row = this.#row(note);
      this.#rows.set(note.id, { note: brief(note), row });
      $('list').prepend(row);
    }
    this.#remember([note]);
    this.showProgress();
  }

  // refresh shows the rows again, after something that they show has changed.
  refresh() {
    for (const id of this.#rows.keys()) this.#redraw(id);
    this.showProgress();
  }

  // refreshNote shows the row of a note again.
  refreshNote(id) {
    this.#redraw(id);
    this.showProgress();
  }

  #redraw(id) {
    const entry = this.#rows.get(id);
    if (!entry) return;
    const row = this.#row(entry.note);
    if (entry.row.querySelector('a').ariaCurrent) row.querySelector('a').ariaCurrent = 'true';
    const isFocused = entry.row.contains(document.activeElement);
    entry.row.replaceWith(row);
    entry.row = row;
    if (isFocused) row.querySelector('a').focus();
  }

  // markOpen marks the row of the open note.
  markOpen(id) {
    for (const link of document.querySelectorAll('#list a[aria-current]')) link.ariaCurrent = null;
    const row = this.#rows.get(id)?.row;
    if (row) row.querySelector('a').ariaCurrent = 'true';
  }

  // focus moves the focus to the row of a note, or else to the list's first row.
  focus(id) {
    const row = this.#rows.get(id)?.row;
    (row && !row.hidden ? row : $('list').querySelector('li:not([hidden])'))?.querySelector('a').focus();
  }

  // move moves the focus by a number of rows.
  move(step) {
    const links = [...document.querySelectorAll('#list li:not([hidden]) > a')];
    const at = links.findIndex((link) => link.parentElement.contains(document.activeElement));
    const current = links.findIndex((link) => link.ariaCurrent);
    const next = at >= 0 ? at + step : Math.max(current, 0);
    links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
  }

  // showProgress says how many notes there are, or how far a search has come.
  showProgress() {
    const walk = this.#walk;
    if (!walk) {
      say($('progress'), '');
      return;
    }
    let n = 0;
    for (const { row } of this.#rows.values()) n += row.hidden ? 0 : 1;
    const text = () => {
      if (walk.isFiltered) {
        if (this.#isReading) return t('searching', { n, examined: walk.examined });
        if (!walk.isDone) return t('found.more', { n });
        return n ? t('found', { n }) : t('found.none');
      }
      if (this.#isReading && n === 0) return t('loading');
      if (!walk.isDone) return t('shown.more', { n });
      return n ? t('shown', { n }) : t('empty');
    };
    say($('progress'), text());
  }

  #append(notes) {
    const rows = document.createDocumentFragment();
    for (const note of notes) {
      if (this.#rows.has(note.id)) continue; // put has shown it already
      const row = this.#row(note);
      this.#rows.set(note.id, { note: brief(note), row });
      rows.append(row);
    }
    $('list').append(rows);
    this.#remember(notes);
  }

  #row(note) {
    const tags = element('p', { className: 'row-tags' }, ...note.tags.map((tag) => {
      const button = element('button', { type: 'button', onclick: () => this.#addTag(tag) }, isolated(tag));
      button.ariaLabel = t('filter.add', { tag });
      return button;
    }));
    const link = element('a', { href: this.#link(note.id) },
      element('strong', {}, isolated(note.title)),
      element('span', { className: 'excerpt' }, isolated(note.content.slice(0, excerpt))),
      element('small', {}, formatTime(note.updated_at)));
    if (this.#isDraft(note.id)) link.append(element('em', {}, t('row.draft')));
    return element('li', { hidden: this.#isHidden(note.id) }, link, tags);
  }

  // #remember offers the tags of notes as filters.
  #remember(notes) {
    const known = new Set([...$('known-tags').options].map((option) => option.value));
    for (const tag of notes.flatMap((note) => note.tags)) {
      if (known.size >= 200) return; // a longer list helps nobody
      if (!known.has(tag)) $('known-tags').append(element('option', { value: tag }));
      known.add(tag);
    }
  }
}

// brief returns a note with only as much of its text as a row shows, so that a long list needs little memory. The text
// is copied, because a slice would keep the whole in memory.
const brief = (note) => ({ ...note, content: [...note.content.slice(0, excerpt)].join('') });
