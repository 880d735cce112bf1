// The texts of the page in the reader's language.

let texts = {};

// load reads the texts of a language, en or ja.
export async function load(language) {
  const answer = await fetch(new URL(`${language}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`no texts: ${answer.status}`);
  texts = await answer.json();
  document.documentElement.lang = language;
}

// language returns the language of the page.
export const language = () => document.documentElement.lang;

// t returns a text with values in place of {name}. There is another text for an n of 1 where the grammar needs one.
export function t(key, values = {}) {
  const one = `${key}.one`;
  const text = texts[values.n === 1 && one in texts ? one : key];
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === 'number' ? values[name].toLocaleString(language()) : values[name]);
}

// apply puts the texts into the elements that name them. The server has done the same for the first language.
export function apply() {
  for (const e of document.querySelectorAll('[data-text]')) e.textContent = t(e.dataset.text);
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  for (const e of document.querySelectorAll('[data-hint]')) e.placeholder = t(e.dataset.hint);
  document.title = t('title');
}

const formats = {}; // by language, because making one takes long

// formatTime returns a time of the API for people.
export function formatTime(time) {
  formats[language()] ??= new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' });
  return formats[language()].format(new Date(time));
}
