// Who uses the page: the token, if the service asks for one, and what it allows.

import { $ } from './dom.js';
import { t } from './texts.js';

const { auth, issuer, base } = document.documentElement.dataset;
const storageName = `notes-token ${base}`;

export class Session {
  #token = '';

  isReadOnly = false;

  // needsToken reports whether the service asks for a token.
  needsToken = auth === 'token' || auth === 'jwt';

  constructor() {
    try {
      this.#token = sessionStorage.getItem(storageName) ?? '';
    } catch { /* storage is forbidden */ }
  }

  get token() {
    return this.#token;
  }

  // caller returns a name for whoever has the token, which does not reveal it: a hash of the issuer and the subject of
  // a JSON Web Token, so that the next token of the same person has the same name, or else a hash of the token.
  get caller() {
    return this.#token && (hashOfSubject(this.#token) ?? hash(this.#token));
  }

  // use takes a token and keeps it in memory or, if isKept, until the tab is closed.
  use(token, isKept) {
    this.#token = token;
    this.isReadOnly = false;
    try {
      if (isKept) sessionStorage.setItem(storageName, token);
      else sessionStorage.removeItem(storageName);
    } catch { /* storage is forbidden; then the token is in memory alone */ }
  }

  forget() {
    this.use('', false);
  }
}

// hashOfSubject returns a hash of the issuer and the subject of a JSON Web Token (RFC 7519), or null for another token.
function hashOfSubject(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const { iss, sub } = JSON.parse(atob(payload));
    return sub ? hash(`${iss} ${sub}`) : null;
  } catch {
    return null;
  }
}

// hash returns the 32-bit FNV-1a hash of a text. It tells the callers of one browser apart; nothing relies on it for
// security.
function hash(text) {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return h.toString(16);
}

// showEntrance shows the form for the token, with the reason why the last one was not accepted, and calls use with the
// token that the reader enters.
export function showEntrance(reason, use) {
  document.body.classList.add('locked');
  $('entrance').hidden = false;
  showSource();
  $('token-error').textContent = reason;
  $('token-form').onsubmit = (event) => {
    event.preventDefault();
    const token = $('token').value.trim().replace(/^Bearer +/i, '').replace(/^NOTES_TOKEN=/, '');
    if (!/^[!-~]+$/.test(token)) {
      $('token-error').textContent = t('token.malformed');
      return;
    }
    $('token').value = '';
    $('token-error').textContent = '';
    document.body.classList.remove('locked');
    $('entrance').hidden = true;
    use(token, $('keep').checked);
  };
  // Whoever is typing would type into the field for the token.
  $(document.activeElement.matches('#editor *') ? 'entrance' : 'token').focus();
}

// showSource says where tokens come from.
export function showSource() {
  $('token-source').textContent = issuer ? t('token.issuer', { issuer }) : t('token.source');
}
