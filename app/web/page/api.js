// A client of the public API. It knows tokens, entity tags and idempotency keys, and nothing of the page.

// Failure is the error of a request without success. It has the status of the answer, or 0 if there was none.
export class Failure extends Error {
  constructor(status, problem = {}, retryAfter) {
    super(problem.detail ?? problem.message ?? '');
    this.status = status;
    this.code = problem.code;
    this.mistakes = problem.errors ?? [];
    this.retryAfter = retryAfter; // seconds, or undefined
  }

  // isTransient reports whether the same request may succeed later: there was no answer, or it was 429 or one of 502,
  // 503 and 504.
  get isTransient() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

// defaultWait is the time until another attempt, in seconds, if the service does not say.
export const defaultWait = 5;

// timeout is how long a request may take, in milliseconds. API Gateway's limit is 30 s.
const timeout = 35_000;

export class Client {
  #token; // returns the bearer token, or ''

  constructor(token) {
    this.#token = token;
  }

  // list returns a page of notes: {notes, next_cursor}.
  list({ query = '', tags = [], cursor = '', limit, signal }) {
    const parameters = new URLSearchParams({ limit });
    if (query) parameters.set('q', query);
    for (const tag of tags) parameters.append('tag', tag);
    if (cursor) parameters.set('cursor', cursor);
    return this.#send('GET', `notes?${parameters}`, { signal });
  }

  // get returns a note. All methods that return a note add its etag.
  get(id) {
    return this.#send('GET', notePath(id));
  }

  // create creates a note. It may be called again with the same key and the same fields after a failure.
  create(fields, key) {
    return this.#send('POST', 'notes', { body: fields, headers: { 'Idempotency-Key': key } });
  }

  // change changes some fields of a note if it still has the entity tag.
  change(id, etag, fields) {
    return this.#send('PATCH', notePath(id),
      { body: fields, type: 'application/merge-patch+json', headers: { 'If-Match': etag } });
  }

  // remove deletes a note if it still has the entity tag. The request goes on when the page is closed.
  remove(id, etag) {
    return this.#send('DELETE', notePath(id), { headers: { 'If-Match': etag }, keepalive: true });
  }

  // mayWrite reports whether the token may change notes. It deletes a note that cannot exist: a token that may only
  // read is refused (403) before the service looks for the note (404).
  async mayWrite() {
    try {
      await this.#send('DELETE', 'notes/none');
    } catch (failure) {
      return failure.status !== 403;
    }
    return true;
  }

  async #send(method, path, { body, type = 'application/json', headers = {}, signal, keepalive } = {}) {
    const token = this.#token();
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers['Content-Type'] = type;
    const signals = [AbortSignal.timeout(timeout)];
    if (signal) signals.push(signal);
    let answer, value;
    try {
      answer = await fetch(path, {
        method, headers, keepalive, body: body && JSON.stringify(body), signal: AbortSignal.any(signals),
      });
      value = await answer.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failure(0);
    }
    if (!answer.ok) throw new Failure(answer.status, parse(value), seconds(answer.headers.get('Retry-After')));
    if (answer.status === 204) return undefined;
    const json = parse(value);
    if (!json) throw new Failure(answer.status);
    const etag = answer.headers.get('ETag');
    return etag ? { ...json, etag } : json;
  }
}

const notePath = (id) => `notes/${encodeURIComponent(id)}`;

// parse returns the JSON object in a text, or undefined. A proxy may have answered in place of the service.
function parse(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return undefined;
  }
}

// seconds returns the delay in a Retry-After header, which is a number of seconds or a date (RFC 9110, section 10.2.3).
function seconds(header) {
  if (!header) return undefined;
  const value = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return value >= 0 ? value : undefined;
}

// newKey returns a random key of 128 bits. Unlike crypto.randomUUID, it works on pages without TLS too.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
