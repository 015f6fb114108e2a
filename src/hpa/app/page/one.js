// The tab for one image: a slot per channel, then the picture, labels and quality flags.

import { bytesOf, exampleFiles, send, tooLarge } from "./api.js";
import { byId, make, offerCsv, showProblem } from "./elements.js";
import { acceptDrops, CHANNELS, groupFiles } from "./files.js";
import { distrustedLabels, groupFlags } from "./flags.js";
import { Picture } from "./picture.js";

const STAINS = {
  red: "microtubules", green: "the protein", blue: "nucleus", yellow: "endoplasmic reticulum",
};

export class OneImage {
  constructor(model, examples, passOn) {
    this.model = model;
    this.passOn = passOn; // receives the images if there are several
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
    byId("one-predict").onclick = () => this.predict();
    byId("one-clear").onclick = () => this.clear();
    byId("map-off").onclick = () => this.choose(null);
  }

  exampleButton({ name, title }) {
    const open = async () => this.open(name, await exampleFiles(name, CHANNELS), `Simulated image — ${title}`);
    return make("button", { class: "example", onclick: open },
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
    byId("one-predict").disabled = !this.files.green;
    byId("one-clear").hidden = !Object.keys(this.files).length;
  }

  slot(channel) {
    const file = this.files[channel];
    const input = make("input", { type: "file", id: `slot-${channel}`, accept: ".png,.tif,.tiff,.jpg,.jpeg" });
    input.onchange = () => this.put(channel, input.files[0]);
    const empty = channel === "green" ? "required: choose or drop" : "choose or drop";
    const slot = make("label", { class: `slot ${channel}${file ? " full" : ""}` },
      make("span", { class: "stain" }, make("i", { class: `swatch ${channel}` }), `${channel}: ${STAINS[channel]}`),
      make("span", { class: "file" }, file ? file.name : empty), input);
    acceptDrops(slot, files => (files.length === 1 ? this.put(channel, files[0]) : this.take(files)));
    return slot;
  }

  /** Put a file with any name into the slot of a channel. */
  put(channel, file) {
    if (!file) return;
    this.files = { ...this.files, [channel]: file };
    this.origin = "";
    this.name ||= file.name.replace(/\.[^.]+$/, "").replace(/[_\- ](red|green|blue|yellow)$/i, "");
    this.showSlots();
    byId(`slot-${channel}`).focus();
    if (CHANNELS.every(each => this.files[each])) this.predict();
  }

  /** Take files with their channels in their names. */
  take(files) {
    const { images, rest, twice } = groupFiles(files);
    if (images.size > 1) return this.passOn(images, [...rest, ...twice]);
    showProblem(byId("one-problem"), null);
    if (images.size === 1) {
      const [[name, found]] = images;
      const several = Object.keys(found).length > 1;
      this.files = several || this.name !== name ? found : { ...this.files, ...found };
      [this.name, this.origin] = [name, ""];
      this.showSlots();
      if (several && found.green) this.predict();
    }
    if (rest.length || twice.length) this.showUnassigned(rest, twice);
  }

  showUnassigned(rest, twice) {
    const error = rest.length
      ? new Error(`${rest[0].name} has no channel in its name`)
      : new Error(`${twice[0].name} is a second file of its channel`);
    error.advice = "Drop the file onto the slot of its channel.";
    showProblem(byId("one-problem"), error);
  }

  /** Predict an image immediately. */
  open(name, files, origin = "") {
    [this.name, this.files, this.origin] = [name, files, origin];
    this.showSlots();
    return this.predict();
  }

  async predict() {
    const request = this.request = Symbol(this.name);
    showProblem(byId("one-problem"), null);
    byId("one-status").textContent = `Predicting ${this.name} …`;
    byId("one").setAttribute("aria-busy", "true");
    try {
      const nBytes = bytesOf(this.name, this.files);
      if (nBytes > this.model.max_request_bytes) throw tooLarge(nBytes, this.model.max_request_bytes);
      const response = await send("api/prediction", [[this.name, this.files]]);
      if (request === this.request) await this.show(response); // unless another image has been chosen since
    } catch (error) {
      if (request !== this.request) return;
      byId("result").hidden = true;
      showProblem(byId("one-problem"), error);
    } finally {
      if (request === this.request) {
        byId("one-status").textContent = "";
        byId("one").removeAttribute("aria-busy");
      }
    }
  }

  async show({ prediction, picture, maps, advice, csv }) {
    this.maps = maps;
    await this.picture.load(picture);
    this.shown = { colour: new Set(CHANNELS), map: new Set(["green"]) };
    byId("result-name").textContent = prediction.image;
    byId("origin").textContent = this.origin;
    const distrusted = distrustedLabels(prediction);
    byId("found").textContent = prediction.labels.length
      ? `Found: ${prediction.labels.map(each => distrusted.has(each) ? `${each} ?` : each).join(", ")}.`
      : "No label is above its threshold.";
    byId("flags").replaceChildren(
      ...groupFlags(prediction.flags).map(([text, flag]) => flagItem(text, advice[flag])));
    this.showLabels(prediction.classes);
    offerCsv(byId("one-csv"), [csv]);
    byId("one-csv").download = `${prediction.image.replace(/[^\w.-]+/g, "_")}.csv`;
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
    const note = flags.length ? `do not rely on this label: ${flags.join("; ")}` : "";
    const spoken = [label, present ? "found" : "not found", `probability ${p}`,
      `threshold ${limit}`, note].filter(Boolean).join(", ");
    const shown = note ? `${label} ?` : label;
    const button = make("button", { class: present ? "label found" : "label", "aria-pressed": "false",
      "aria-label": spoken, "data-label": label }, make("span", { class: "name" }, shown), bar, numbers);
    if (note) button.append(make("span", { class: "label-note" }, note));
    button.onclick = () => this.choose(this.label === label ? null : label);
    return button;
  }

  /** Show the map of a label; null shows the colours again. */
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
    const { maps } = this, shown = this.channels();
    const map = this.label !== null && !maps.error && { ...maps, values: maps.values[this.label] };
    this.picture.paint(shown, map);
    for (const channel of CHANNELS) byId(`show-${channel}`).checked = shown.has(channel);
    const names = [...shown].map(each => STAINS[each]).join(", ") || "nothing";
    byId("canvas").setAttribute("aria-label", map
      ? `Grad-CAM map of ${this.label}, in orange over ${names} in grey` : `The image in pseudo-colour: ${names}`);
    byId("map-note").textContent = this.mapNote(maps);
  }

  mapNote(maps) {
    if (this.label === null) return "Each channel is contrast-stretched for display; the network receives it unchanged.";
    if (maps.error) return `This network has no maps: ${maps.error}`;
    return `Orange: the strongest evidence for “${this.label}” (Grad-CAM at ${maps.width} × ${maps.height} `
      + "pixels: a region, not an outline), over the protein in grey.";
  }
}

/** Format two numbers with two digits, or with three if two make them equal. */
function apart(one, other) {
  const digits = [2, 3].find(n => one.toFixed(n) !== other.toFixed(n)) ?? 3;
  return [one.toFixed(digits), other.toFixed(digits)];
}

function flagItem(text, advice) {
  return make("li", {}, make("b", {}, `${text[0].toUpperCase()}${text.slice(1)}.`), advice ? ` ${advice}` : "");
}
