// What the page shows is in the fragment of its URL, so that Back, reload and bookmarks work: the search, the tags that
// notes must have, and the open note or draft.

// place returns what the page shows: {query, tags, note}.
export function place() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  return { query: fragment.get('q') ?? '', tags: fragment.getAll('tag'), note: fragment.get('note') ?? '' };
}

// urlOf returns the URL of a place. A fragment alone would be resolved by the page's base, which is another path where
// the page was opened without the slash at its end.
export function urlOf({ query, tags, note }) {
  const fragment = new URLSearchParams();
  if (query) fragment.set('q', query);
  for (const tag of tags) fragment.append('tag', tag);
  if (note) fragment.set('note', note);
  return `${location.pathname}${location.search}#${fragment}`;
}

// go shows another place: the present one with changes.
export function go(changes) {
  location.assign(urlOf({ ...place(), ...changes }));
}

// replace does the same without a new entry in the browser's history.
export function replace(changes) {
  const before = location.href;
  history.replaceState(null, '', urlOf({ ...place(), ...changes }));
  if (location.href !== before) dispatchEvent(new Event('hashchange'));
}
