// The labels of a prediction: what was found comes first; of many labels, the others on request.

import { byId, make, swatch } from "./elements.js";

const MANY = 40, FIRST = 15, MOST = 30;

/** Join the first names, and count the others. */
export function firstNames(names, n = 12) {
  return names.slice(0, n).join(", ") + (names.length > n ? ` and ${names.length - n} more` : "");
}

export class LabelList {
  /** `labels` are those of the model; `choose` receives the name of the one that is clicked. */
  constructor(labels, choose) {
    this.facts = new Map(labels.map(each => [each.name, each]));
    this.choose = choose;
    this.filter = byId("label-filter");
    this.filter.placeholder = `Find one of ${labels.length} labels`;
    byId("label-search").hidden = labels.length <= MANY;
    this.filter.oninput = () => this.paint();
    byId("labels-more").onclick = () => {
      this.open = !this.open;
      this.paint();
    };
  }

  show(classes) {
    this.classes = [...classes].sort((a, b) => b.present - a.present || b.probability - a.probability);
    [this.open, this.chosen, this.filter.value] = [false, null, ""];
    this.paint();
  }

  /** Mark the label whose map is shown; null marks none. */
  mark(label) {
    this.chosen = label;
    for (const button of byId("labels").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.label === label));
    }
  }

  paint() {
    const shown = this.visible(), more = byId("labels-more"), all = this.classes.length;
    byId("labels").replaceChildren(...shown.map(each => make("li", {}, this.button(each))));
    byId("label-count").textContent = `${shown.length} of ${all}`;
    more.hidden = Boolean(this.wanted()) || all <= MANY;
    more.textContent = this.open ? "Show fewer labels" : `Show all ${all} labels`;
    this.mark(this.chosen);
  }

  wanted() {
    return this.filter.value.trim().toLowerCase();
  }

  visible() {
    const wanted = this.wanted();
    if (wanted) return this.classes.filter(({ label }) => label.toLowerCase().includes(wanted));
    if (this.open || this.classes.length <= MANY) return this.classes;
    const found = this.classes.filter(each => each.present).length;
    return this.classes.slice(0, Math.min(Math.max(found, FIRST), MOST));
  }

  button({ label, present, probability, threshold, flags }) {
    const { color, description } = this.facts.get(label) ?? {};
    const fill = make("span", { class: "fill" }), tick = make("span", { class: "tick" });
    fill.style.width = `${100 * probability}%`;
    tick.style.left = `${100 * threshold}%`;
    if (color && present) fill.style.background = color;
    const bar = make("span", { class: "bar" }, fill, tick);
    const [p, limit] = apart(probability, threshold);
    const numbers = make("span", { class: "numbers" }, make("b", {}, p), make("span", { class: "threshold" }, ` / ${limit}`));
    const note = flags.length ? `do not rely on this label: ${flags.join("; ")}` : "";
    const spoken = [label, present ? "found" : "not found", `probability ${p}`,
      `threshold ${limit}`, description, note].filter(Boolean).join(", ");
    const name = make("span", { class: "name" }, ...(color ? [swatch(color)] : []), note ? `${label} ?` : label);
    const button = make("button", { class: present ? "label found" : "label", "aria-pressed": "false",
      "aria-label": spoken, "data-label": label, title: description }, name, bar, numbers);
    if (description && present) button.append(make("span", { class: "label-text" }, description));
    if (note) button.append(make("span", { class: "label-note" }, note));
    button.onclick = () => this.choose(label);
    return button;
  }
}

/** Format two numbers with two digits, or with three if two make them equal. */
function apart(one, other) {
  const digits = [2, 3].find(n => one.toFixed(n) !== other.toFixed(n)) ?? 3;
  return [one.toFixed(digits), other.toFixed(digits)];
}
