// The tab for one image: a slot per channel, then the picture, labels and quality flags.

import { bytesOf, exampleFiles, IMAGE_FILE, RequestError, send, tooLarge } from "./api.js";
import { byId, make, offerCsv, showProblem, swatch } from "./elements.js";
import { FORMATS, fullTitle, inWords, nameEnds, proteinOf, shortTitles } from "./channels.js";
import { acceptChosen, acceptDrops, groupFiles, imageName } from "./files.js";
import { distrustedLabels, groupFlags } from "./flags.js";
import { firstNames, LabelList } from "./labels.js";
import { Picture } from "./picture.js";

export class OneImage {
  constructor(model, examples, passOn) {
    this.model = model;
    this.passOn = passOn; // receives the images if there are several
    [this.taken, this.nTaking] = [Promise.resolve(), 0]; // files are added in the order of the user
    this.names = model.channels.map(each => each.name);
    this.protein = proteinOf(model.channels).name;
    this.titles = shortTitles(model.channels);
    this.picture = new Picture(byId("canvas"), model.channels);
    this.labels = new LabelList(model.labels, label => this.choose(this.label === label ? null : label));
    this.introduce();
    this.clear();
    this.wire();
    this.addChannels();
    byId("intake").classList.toggle("alone", !examples.length);
    byId("examples").append(...examples.map(each => this.exampleButton(each)));
  }

  introduce() {
    const { channels } = this.model, several = channels.length > 1;
    const what = several ? `Drop the ${inWords(channels.length)} channels of one image here` : "Drop an image here";
    byId("one-intro").replaceChildren(make("b", {}, what), ", as PNG, TIFF or JPEG",
      ...(several ? [`, or one file that holds them: ${FORMATS}. Files named `, ...nameEnds(channels),
        " fill their slots; drop any other file onto its slot."] : ["."]));
  }

  wire() {
    acceptDrops(byId("one"), files => this.take(files));
    acceptChosen(byId("one-files"), files => this.take(files));
    byId("one-predict").onclick = () => this.predict();
    byId("one-clear").onclick = () => this.clear();
    byId("map-off").onclick = () => this.choose(null);
  }

  exampleButton({ name, title }) {
    const open = async () => {
      const chosen = this.request = Symbol(name);
      const files = await exampleFiles(name, this.names);
      if (chosen === this.request) this.open(name, files, `Simulated image — ${title}`);
    };
    return make("button", { class: "example", onclick: open },
      make("img", { src: `examples/${name}.jpg`, alt: "", width: 80, height: 80 }), make("span", {}, title));
  }

  clear() {
    [this.name, this.files, this.origin, this.request, this.cleared] = ["", {}, "", null, Symbol("cleared")];
    byId("result").hidden = true;
    byId("one-status").textContent = "";
    byId("one").removeAttribute("aria-busy");
    showProblem(byId("one-problem"), null);
    this.showSlots();
  }

  showSlots() {
    byId("slots").replaceChildren(...this.model.channels.map(channel => this.slot(channel)));
    this.offer();
    byId("one-clear").hidden = !Object.keys(this.files).length;
  }

  /** Offer to predict an image with a name and a file of the protein, once all files are taken. */
  offer() {
    const ready = this.name && !this.nTaking && (this.files[IMAGE_FILE] ?? this.files[this.protein]);
    byId("one-predict").disabled = !ready;
  }

  slot(channel) {
    const { name } = channel, file = this.files[IMAGE_FILE] ?? this.files[name];
    const input = make("input", { type: "file", id: `slot-${name}`, accept: this.model.suffixes });
    input.onchange = () => this.put(name, input.files[0]);
    const empty = name === this.protein ? "required: choose or drop" : "choose or drop";
    const slot = make("label", { class: file ? "slot full" : "slot" },
      make("span", { class: "stain" }, swatch(channel.color), fullTitle(channel)),
      make("span", { class: "file" }, file ? file.name : empty), input);
    acceptDrops(slot, files => (files.length === 1 ? this.put(name, files[0]) : this.take(files)));
    return slot;
  }

  /** Put a file with any name into the slot of a channel. */
  async put(channel, file) {
    if (!file) return;
    if (this.files[IMAGE_FILE]) [this.name, this.files] = ["", {}];
    this.files = { ...this.files, [channel]: file };
    this.origin = "";
    this.showSlots();
    byId(`slot-${channel}`).focus();
    const { files } = this;
    try {
      const name = this.name || await imageName(Object.values(files)[0]);
      if (files !== this.files) return; // another file has been put, or all cleared, since
      this.name = name;
      this.offer();
      if (this.names.every(each => files[each])) this.predict();
    } catch (error) {
      showProblem(byId("one-problem"), error);
    }
  }

  /** Take files with their channels in their names, or a file of several channels, after those before. */
  take(files) {
    const { cleared } = this;
    this.nTaking += 1;
    this.offer();
    return this.taken = this.taken.then(() => this.takeNow(files, () => cleared === this.cleared)).finally(() => {
      this.nTaking -= 1;
      this.offer();
    });
  }

  /** Take files, unless all has been cleared meanwhile. */
  async takeNow(files, isWanted) {
    try {
      // The file of a single channel may have any name.
      if (this.names.length === 1 && files.length === 1) {
        const name = await imageName(files[0]);
        if (isWanted()) this.open(name, { [this.protein]: files[0] });
        return;
      }
      const { images, left, advice } = await groupFiles(files, this.model);
      if (!isWanted()) return;
      if (images.size > 1) return this.passOn(images, left, advice);
      showProblem(byId("one-problem"), null);
      for (const [name, found] of images) this.add(name, found);
      if (left.length) throw unassigned(left[0], advice);
    } catch (error) {
      showProblem(byId("one-problem"), error);
    }
  }

  /** Add files to an image, or begin another; predict it when it is complete enough. */
  add(name, found) {
    const several = Object.keys(found).length > 1, whole = found[IMAGE_FILE] ?? this.files[IMAGE_FILE];
    this.files = several || whole || this.name !== name ? found : { ...this.files, ...found };
    [this.name, this.origin] = [name, ""];
    this.showSlots();
    if (found[IMAGE_FILE] || (several && found[this.protein])) this.predict();
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
      showProblem(byId("one-problem"), this.named(error));
    } finally {
      if (request === this.request) {
        byId("one-status").textContent = "";
        byId("one").removeAttribute("aria-busy");
      }
    }
  }

  /** Return an error with the name of the file of all channels, which the server calls `the file`. */
  named(error) {
    const file = this.files[IMAGE_FILE];
    return file ? new RequestError(error.message.replace(/^the file:/, () => `${file.name}:`), error.advice) : error;
  }

  async show({ prediction, picture, maps, advice, csv, read }) {
    this.maps = maps;
    await this.picture.load(picture);
    this.shown = { colour: new Set(this.names), map: new Set([this.protein]) };
    byId("result-name").textContent = prediction.image;
    byId("origin").textContent = [this.origin, read].filter(Boolean).join(". ");
    const distrusted = distrustedLabels(prediction);
    byId("found").textContent = prediction.labels.length
      ? `Found: ${firstNames(prediction.labels.map(each => distrusted.has(each) ? `${each} ?` : each))}.`
      : "No label is above its threshold.";
    byId("flags").replaceChildren(
      ...groupFlags(prediction.flags).map(([text, flag]) => flagItem(text, advice[flag])));
    this.labels.show(prediction.classes);
    offerCsv(byId("one-csv"), [csv]);
    byId("one-csv").download = `${prediction.image.replace(/[^\w.-]+/g, "_")}.csv`;
    byId("result").hidden = false;
    this.choose(null);
    byId("result").scrollIntoView({ block: "start" });
    byId("result-name").focus({ preventScroll: true });
  }

  /** Show the map of a label; null shows the colours again. */
  choose(label) {
    this.label = label;
    this.labels.mark(label);
    byId("map-off").hidden = label === null;
    this.paint();
  }

  addChannels() {
    for (const { name, color } of this.model.channels) {
      const box = make("input", { type: "checkbox", id: `show-${name}` });
      box.onchange = () => {
        this.channels()[box.checked ? "add" : "delete"](name);
        this.paint();
      };
      byId("channels").append(make("label", {}, box, swatch(color), this.titles[name]));
    }
  }

  channels() {
    return this.label === null ? this.shown.colour : this.shown.map;
  }

  paint() {
    const { maps } = this, shown = this.channels();
    const map = this.label !== null && !maps.error && { ...maps, values: maps.values[this.label] };
    this.picture.paint(shown, map);
    for (const name of this.names) byId(`show-${name}`).checked = shown.has(name);
    const names = [...shown].map(each => this.titles[each]).join(", ") || "nothing";
    byId("canvas").setAttribute("aria-label", map
      ? `Grad-CAM map of ${this.label}, in orange over ${names} in grey` : `The image in pseudo-colour: ${names}`);
    byId("map-note").textContent = this.mapNote(maps);
  }

  mapNote(maps) {
    if (this.label === null) return "Each channel is contrast-stretched, for display only.";
    if (maps.error) return `This network has no maps: ${maps.error}`;
    return `Orange: the strongest evidence for “${this.label}” (Grad-CAM at ${maps.width} × ${maps.height} `
      + "pixels: a region, not an outline), over the protein in grey.";
  }
}

function unassigned({ file, reason }, advice) {
  return new RequestError(`${file.name}: ${reason}`, ["Drop the file onto the slot of its channel.", advice].join(" "));
}

function flagItem(text, advice) {
  return make("li", {}, make("b", {}, `${text[0].toUpperCase()}${text.slice(1)}.`), advice ? ` ${advice}` : "");
}
