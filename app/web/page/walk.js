// A walk through the pages of a list or a search, newest notes first.

// perRequest is the most notes that the service examines for one request.
const perRequest = 1000;

export class Walk {
  #client;
  #filter; // {query, tags}
  #cursor = '';
  #abort = new AbortController();

  found = 0; // notes
  requests = 0;
  isDone = false;

  constructor(client, filter) {
    this.#client = client;
    this.#filter = filter;
  }

  // examined returns how many notes the walk has gone through at most.
  get examined() {
    return this.requests * perRequest;
  }

  get isFiltered() {
    return this.#filter.query !== '' || this.#filter.tags.length > 0;
  }

  // more reads on until there are wanted more notes, or no more at all. Pages may be short or empty, so it takes as
  // many as it needs. It calls show with the notes of each page. After a failure it can be called again.
  async more(wanted, show) {
    const enough = this.found + wanted;
    while (!this.isDone && this.found < enough) {
      const page = await this.#client.list({ ...this.#filter, cursor: this.#cursor, limit: wanted,
        signal: this.#abort.signal });
      if (this.#abort.signal.aborted) return;
      this.requests++;
      this.found += page.notes.length;
      this.#cursor = page.next_cursor ?? '';
      this.isDone = !this.#cursor;
      show(page.notes);
    }
  }

  // stop ends the walk. A request in progress is given up.
  stop() {
    this.#abort.abort();
  }

  get isStopped() {
    return this.#abort.signal.aborted;
  }
}
