// The tab for many images, which are sent in batches that fit a request.

import { bytesOf, exampleFiles, RequestError, send, tooLarge } from "./api.js";
import { byId, make, offerCsv, showProblem, swatch } from "./elements.js";
import { FORMATS, inWords, nameEnds, proteinOf } from "./channels.js";
import { acceptChosen, acceptDrops, groupFiles } from "./files.js";
import { distrustedLabels, groupFlags } from "./flags.js";
import { firstNames } from "./labels.js";

const N_CHIPS = 12;

export class ManyImages {
  constructor(model, examples, open) {
    this.model = model;
    this.open = open; // shows an image in the other tab
    this.names = model.channels.map(each => each.name);
    this.colors = new Map(model.labels.map(each => [each.name, each.color]));
    this.introduce();
    byId("many-examples").hidden = !examples.length;
    acceptDrops(byId("many"), files => this.take(files));
    for (const id of ["many-folder", "many-files"]) acceptChosen(byId(id), files => this.take(files));
    byId("many-examples").onclick = () => this.takeExamples(examples);
    byId("many-stop").onclick = () => this.stop?.abort();
    byId("many-filter").onchange = event => (byId("many-result").dataset.show = event.target.value);
  }

  introduce() {
    const { channels } = this.model, protein = proteinOf(channels).name, several = channels.length > 1;
    byId("many-intro").replaceChildren(make("b", {}, "Drop a folder, or all files of many images here."),
      several ? ` An image has up to ${inWords(channels.length)} files, ` : " The file of an image is named ",
      ...nameEnds(channels, "NAME"), ", as PNG, TIFF or JPEG",
      several ? ` (${protein}, the protein, is required), or one file: ${FORMATS}.` : ".");
  }

  async take(files) {
    try {
      const { images, left, advice } = await groupFiles(files, this.model);
      await this.run(images, left, advice);
    } catch (error) {
      showProblem(byId("many-problem"), error);
    }
  }

  async takeExamples(examples) {
    const images = new Map();
    for (const { name } of examples) images.set(name, await exampleFiles(name, this.names));
    return this.run(images, []);
  }

  /** Predict images; `left` are the files that belong to none, with the reasons, and `advice` is for them. */
  async run(images, left, advice = "") {
    if (!images.size) {
      const names = `Name them ${this.names.map(each => `NAME_${each}.png`).join(", ")} (or .tif, .jpg).`;
      const reason = `no image among the files${left.length ? `: ${skipped(left)}` : ""}`;
      showProblem(byId("many-problem"), new RequestError(reason, advice || names));
      return;
    }
    this.stop?.abort();
    const stop = this.stop = new AbortController();
    this.begin(images.size);
    const batches = this.batches(images);
    try {
      for (const batch of batches) await this.predict(batch, stop.signal);
    } catch (error) {
      if (stop === this.stop && error.name !== "AbortError") showProblem(byId("many-problem"), error);
    }
    if (stop === this.stop) this.end(images.size, left, advice);
  }

  begin(total) {
    Object.assign(this, { csv: [], n: 0, flagged: 0, failed: 0 });
    showProblem(byId("many-problem"), null);
    byId("rows").replaceChildren();
    byId("many-result").hidden = byId("many-progress").hidden = false;
    byId("many-csv").hidden = true;
    Object.assign(byId("many-bar"), { max: total, value: 0 });
    byId("many-status").textContent = `0 of ${total} images`;
  }

  end(total, left, advice) {
    byId("many-progress").hidden = true;
    const parts = [this.n < total ? `${this.n} of ${total} images, then stopped` : `${total} images`];
    parts.push(`${this.flagged} with flags`, `${this.failed} that cannot be read`);
    if (left.length) parts.push(`${left.length} ${left.length > 1 ? "files" : "file"} skipped: ${skipped(left)}`);
    byId("many-status").textContent = `${parts.join("; ")}. ${left.length ? advice : ""}`.trim();
    byId("many-csv").hidden = !this.csv.length;
    if (this.csv.length) offerCsv(byId("many-csv"), this.csv);
  }

  /** Divide images into batches that fit a request. */
  batches(images) {
    const batches = [[]];
    let nBytes = 0;
    for (const [name, files] of images) {
      const size = bytesOf(name, files), last = batches.at(-1);
      const full = last.length === this.model.images_per_request || nBytes + size > this.model.max_request_bytes;
      if (last.length && full) {
        batches.push([]);
        nBytes = 0;
      }
      batches.at(-1).push([name, files]);
      nBytes += size;
    }
    return batches;
  }

  async predict(batch, signal) {
    const response = await this.request(batch, signal);
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
    const { csv, predictions } = response;
    if (csv) this.csv.push(this.csv.length ? csv.slice(csv.indexOf("\n") + 1) : csv);
    // Match predictions to images by position: the server may change names.
    if (predictions.length !== batch.length) throw new RequestError("some images have the same name", "Rename them.");
    for (const [place, [name, files]] of batch.entries()) {
      const prediction = predictions[place];
      if (prediction.error) this.addFailure(name, prediction);
      else this.addPrediction(name, files, prediction);
    }
    this.n += batch.length;
    byId("many-bar").value = this.n;
    byId("many-status").textContent = `${this.n} of ${byId("many-bar").max} images`;
  }

  /** Return the predictions of a batch, in its order; throw only if further batches would fail, too. */
  async request(batch, signal) {
    const nBytes = batch.reduce((sum, each) => sum + bytesOf(...each), 0);
    if (nBytes > this.model.max_request_bytes) return allFailed(batch, tooLarge(nBytes, this.model.max_request_bytes));
    try {
      return await send("api/predictions", batch, signal);
    } catch (error) {
      if (error.predictions) return { predictions: error.predictions, csv: "" };
      throw error;
    }
  }

  addPrediction(name, files, prediction) {
    const flagged = distrustedLabels(prediction);
    const labels = prediction.labels.slice(0, N_CHIPS).map(label => this.chip(label, flagged.has(label)));
    const others = prediction.labels.slice(N_CHIPS);
    if (others.length) labels.push(make("span", { class: "faint", title: others.join(", ") }, `and ${others.length} more`));
    const flags = groupFlags(prediction.flags).map(([text]) => make("li", {}, text));
    this.flagged += flags.length > 0;
    const open = make("button", { class: "link", onclick: () => this.open(name, files), title: "Show this image" }, name);
    byId("rows").append(make("tr", { class: flags.length ? "flagged" : "good" }, make("th", { scope: "row" }, open),
      make("td", {}, ...(labels.length ? labels : ["none above its threshold"])),
      make("td", {}, flags.length ? make("ul", {}, ...flags) : make("span", { class: "faint" }, "none"))));
  }

  chip(label, flagged) {
    const color = this.colors.get(label);
    return make("span", { class: flagged ? "chip flagged" : "chip",
      title: flagged ? "do not rely on this label: see the model card" : null },
    ...(color ? [swatch(color)] : []), flagged ? `${label} ?` : label);
  }

  addFailure(name, { error, advice }) {
    this.failed += 1;
    byId("rows").append(make("tr", { class: "failed" }, make("th", { scope: "row" }, name),
      make("td", { colspan: 2 }, make("b", {}, `Cannot be read: ${error}.`), advice ? ` ${advice}` : "")));
  }
}

/** List the skipped files by reason, the first of each by name. */
function skipped(left) {
  const reasons = new Map();
  for (const { file, reason } of left) reasons.set(reason, [...(reasons.get(reason) ?? []), file.name]);
  return [...reasons].map(([reason, names]) => `${firstNames(names, 3)} (${reason})`).join("; ");
}

function allFailed(batch, { message, advice }) {
  return { predictions: batch.map(() => ({ error: message, advice })), csv: "" };
}
