// Create elements; text is set as text, so a file name never becomes markup.

export const byId = id => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Make a dot of a colour, by script: the page's policy forbids inline styles. */
export function swatch(color) {
  const dot = make("i", { class: "swatch" });
  dot.style.background = color;
  return dot;
}

/** Show an error's reason and advice; null hides the element. */
export function showProblem(place, error) {
  place.hidden = !error;
  place.replaceChildren();
  if (!error) return;
  const reason = error.message[0].toUpperCase() + error.message.slice(1);
  place.append(make("b", {}, /[.!?]$/.test(reason) ? reason : `${reason}.`));
  if (error.advice) place.append(` ${error.advice}`);
}

/** Make a link download text as a file, instead of the previous one. */
export function offerCsv(link, texts) {
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob(texts, { type: "text/csv" }));
}
