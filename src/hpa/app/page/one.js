// The tab of one image: files into slots, then the picture, the labels and the flags.

import { bytesOf, exampleFiles, send, tooLarge } from "./api.js";
import { byId, make, offerCsv, showProblem } from "./elements.js";
import { acceptDrops, CHANNELS, sortFiles } from "./files.js";
import { groupFlags } from "./flags.js";
import { Picture } from "./picture.js";

const STAINS = {
  red: "microtubules", green: "the protein", blue: "nucleus", yellow: "endoplasmic reticulum",
};

export class OneImage {
  constructor(model, examples, passOn) {
    this.model = model;
    this.passOn = passOn; // gets the images where there are several
    this.picture = new Picture(byId("canvas"));
    this.clear();
    this.wire();
    this.addChannels();
    byId("examples").append(...examples.map(each => this.exampleButton(each)));
  }

  wire() {
    acceptDrops(byId("one"), files => this.take(files));
    byId("one-files").onchange = event => {
      this.take([...event.target.files]);
      event.target.value = "";
    };
    byId("one-ask").onclick = () => this.ask();
    byId("one-clear").onclick = () => this.clear();
    byId("map-off").onclick = () => this.choose(null);
  }

  exampleButton({ name, title }) {
    const ask = async () => this.open(name, await exampleFiles(name, CHANNELS), `Simulated image — ${title}`);
    return make("button", { class: "example", onclick: ask },
      make("img", { src: `examples/${name}.jpg`, alt: "", width: 80, height: 80 }), make("span", {}, title));
  }

  clear() {
    [this.name, this.files, this.origin] = ["", {}, ""];
    byId("result").hidden = true;
    byId("one-status").textContent = "";
    showProblem(byId("one-problem"), null);
    this.showSlots();
  }

  showSlots() {
    byId("slots").replaceChildren(...CHANNELS.map(channel => this.slot(channel)));
    byId("one-ask").disabled = !this.files.green;
    byId("one-clear").hidden = !Object.keys(this.files).length;
  }

  slot(channel) {
    const file = this.files[channel];
    const input = make("input", { type: "file", id: `slot-${channel}`, accept: ".png,.tif,.tiff,.jpg,.jpeg" });
    input.onchange = () => this.put(channel, input.files[0]);
    const empty = channel === "green" ? "needed: choose or drop" : "choose or drop";
    const slot = make("label", { class: `slot ${channel}${file ? " full" : ""}` },
      make("span", { class: "stain" }, make("i", { class: `swatch ${channel}` }), `${channel}: ${STAINS[channel]}`),
      make("span", { class: "file" }, file ? file.name : empty), input);
    acceptDrops(slot, files => (files.length === 1 ? this.put(channel, files[0]) : this.take(files)));
    return slot;
  }

  /** Put a file of any name into a channel's slot. */
  put(channel, file) {
    if (!file) return;
    this.files = { ...this.files, [channel]: file };
    this.origin = "";
    this.name ||= file.name.replace(/\.[^.]+$/, "").replace(/_(red|green|blue|yellow)$/i, "");
    this.showSlots();
    byId(`slot-${channel}`).focus();
    if (CHANNELS.every(each => this.files[each])) this.ask();
  }

  /** Take files whose names tell their channels. */
  take(files) {
    const { images, rest, twice } = sortFiles(files);
    if (images.size > 1) return this.passOn(images, [...rest, ...twice]);
    showProblem(byId("one-problem"), null);
    if (images.size === 1) {
      const [[name, found]] = images;
      const several = Object.keys(found).length > 1;
      this.files = several || this.name !== name ? found : { ...this.files, ...found };
      [this.name, this.origin] = [name, ""];
      this.showSlots();
      if (several && found.green) this.ask();
    }
    if (rest.length || twice.length) this.tellUnknown(rest, twice);
  }

  tellUnknown(rest, twice) {
    const error = rest.length
      ? new Error(`the name of ${rest[0].name} tells no channel`)
      : new Error(`${twice[0].name} is a second file of its channel`);
    error.advice = "Drop the file onto the place of its channel.";
    showProblem(byId("one-problem"), error);
  }

  /** Answer for an image at once. */
  open(name, files, origin = "") {
    [this.name, this.files, this.origin] = [name, files, origin];
    this.showSlots();
    return this.ask();
  }

  async ask() {
    const asked = this.asked = Symbol(this.name);
    showProblem(byId("one-problem"), null);
    byId("one-status").textContent = `Looking at ${this.name} …`;
    byId("one").setAttribute("aria-busy", "true");
    try {
      const nBytes = bytesOf(this.name, this.files);
      if (nBytes > this.model.max_request_bytes) throw tooLarge(nBytes, this.model.max_request_bytes);
      const found = await send("api/look", [[this.name, this.files]]);
      if (asked === this.asked) await this.show(found); // not if another image was given meanwhile
    } catch (error) {
      if (asked !== this.asked) return;
      byId("result").hidden = true;
      showProblem(byId("one-problem"), error);
    } finally {
      if (asked === this.asked) {
        byId("one-status").textContent = "";
        byId("one").removeAttribute("aria-busy");
      }
    }
  }

  async show(found) {
    this.found = found;
    await this.picture.load(found.picture);
    this.shown = { colour: new Set(CHANNELS), map: new Set(["green"]) };
    byId("result-name").textContent = found.answer.image;
    byId("origin").textContent = this.origin;
    byId("found").textContent = found.answer.labels.length
      ? `Found: ${found.answer.labels.join(", ")}.`
      : "No label is above its threshold.";
    byId("flags").replaceChildren(
      ...groupFlags(found.answer.flags).map(([text, flag]) => flagItem(text, found.advice[flag])));
    this.showLabels(found.answer.classes);
    offerCsv(byId("one-csv"), [found.csv]);
    byId("one-csv").download = `${found.answer.image.replace(/[^\w.-]+/g, "_")}.csv`;
    byId("result").hidden = false;
    this.choose(null);
    byId("result").scrollIntoView({ block: "start" });
    byId("result-name").focus({ preventScroll: true });
  }

  showLabels(classes) {
    const order = [...classes].sort((a, b) => b.present - a.present || b.probability - a.probability);
    byId("labels").replaceChildren(...order.map(each => make("li", {}, this.labelButton(each))));
  }

  labelButton({ label, present, probability, threshold, flags }) {
    const fill = make("span", { class: "fill" }), tick = make("span", { class: "tick" });
    fill.style.width = `${100 * probability}%`;
    tick.style.left = `${100 * threshold}%`;
    const bar = make("span", { class: "bar" }, fill, tick);
    const [p, limit] = apart(probability, threshold);
    const numbers = make("span", { class: "numbers" }, make("b", {}, p), make("span", { class: "threshold" }, ` / ${limit}`));
    const doubt = flags.length ? `too little evidence: ${flags.join("; ")}` : "";
    const spoken = [label, present ? "found" : "not found", `probability ${p}`,
      `threshold ${limit}`, doubt].filter(Boolean).join(", ");
    const button = make("button", { class: present ? "label found" : "label", "aria-pressed": "false",
      "aria-label": spoken, "data-label": label }, make("span", { class: "name" }, label), bar, numbers);
    if (doubt) button.append(make("span", { class: "doubt" }, doubt));
    button.onclick = () => this.choose(this.label === label ? null : label);
    return button;
  }

  /** Show where a label was seen; null shows the colours again. */
  choose(label) {
    this.label = label;
    for (const button of byId("labels").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.label === label));
    }
    byId("map-off").hidden = label === null;
    this.paint();
  }

  addChannels() {
    for (const channel of CHANNELS) {
      const box = make("input", { type: "checkbox", id: `show-${channel}` });
      box.onchange = () => {
        this.channels()[box.checked ? "add" : "delete"](channel);
        this.paint();
      };
      byId("channels").append(make("label", {}, box, make("i", { class: `swatch ${channel}` }), STAINS[channel]));
    }
  }

  channels() {
    return this.label === null ? this.shown.colour : this.shown.map;
  }

  paint() {
    const { maps } = this.found, shown = this.channels();
    const map = this.label !== null && !maps.error && { ...maps, values: maps.values[this.label] };
    this.picture.paint(shown, map);
    for (const channel of CHANNELS) byId(`show-${channel}`).checked = shown.has(channel);
    const names = [...shown].map(each => STAINS[each]).join(", ") || "nothing";
    byId("canvas").setAttribute("aria-label", map
      ? `Where ${this.label} was seen, in orange over ${names} in grey` : `The image in pseudo-colour: ${names}`);
    byId("map-note").textContent = this.mapNote(maps);
  }

  mapNote(maps) {
    if (this.label === null) return "Each channel is brightened to fill; the network sees it as it is.";
    if (maps.error) return `This network cannot tell where: ${maps.error}`;
    return `Orange: what spoke most for “${this.label}” (Grad-CAM, from ${maps.width} × ${maps.height} `
      + "pixels, so it tells a region and no outline). The protein lies below in grey.";
  }
}

/** Spell two numbers in two digits, or in three where two do not tell them apart. */
function apart(one, other) {
  const digits = [2, 3].find(n => one.toFixed(n) !== other.toFixed(n)) ?? 3;
  return [one.toFixed(digits), other.toFixed(digits)];
}

function flagItem(text, advice) {
  return make("li", {}, make("b", {}, `${text[0].toUpperCase()}${text.slice(1)}.`), advice ? ` ${advice}` : "");
}
