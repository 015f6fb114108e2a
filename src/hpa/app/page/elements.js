// Making elements; texts are set as text, so a file's name never becomes markup.

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

/** Show an error's reason and what to do about it; null hides the place. */
export function showProblem(place, error) {
  place.hidden = !error;
  place.replaceChildren();
  if (!error) return;
  const reason = error.message[0].toUpperCase() + error.message.slice(1);
  place.append(make("b", {}, /[.!?]$/.test(reason) ? reason : `${reason}.`));
  if (error.advice) place.append(` ${error.advice}`);
}

/** Let a link download texts as a file, in place of what it offered before. */
export function offerCsv(link, texts) {
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob(texts, { type: "text/csv" }));
}
