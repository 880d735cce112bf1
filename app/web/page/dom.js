// Helpers for elements. Text is only ever set as text, never as HTML.

// $ returns the element with an id.
export const $ = (id) => document.getElementById(id);

// element returns a new element with properties and children, which are elements or texts.
export function element(name, properties = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes('-') || key === 'role' || key === 'list') e.setAttribute(key, value);
    else e[key] = value;
  }
  e.append(...children);
  return e;
}

// say sets the text of a live region. Setting the same text again would make screen readers repeat it.
export function say(region, text) {
  if (region.textContent !== text) region.textContent = text;
}

// isolated returns a text from a note in an element that keeps its direction from changing the text around it.
export const isolated = (text) => element('bdi', { textContent: text });
