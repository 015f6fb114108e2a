// The tab of many images: sent in groups, one after the other, so that nobody holds them all.

import { bytesOf, exampleFiles, Refusal, send, tooLarge } from "./api.js";
import { byId, make, offerCsv, showProblem } from "./elements.js";
import { acceptDrops, CHANNELS, sortFiles } from "./files.js";
import { groupFlags } from "./flags.js";

export class ManyImages {
  constructor(model, examples, look) {
    this.model = model;
    this.look = look; // shows one of the images in the other tab
    acceptDrops(byId("many"), files => this.take(files));
    for (const id of ["many-folder", "many-files"]) {
      byId(id).onchange = event => {
        this.take([...event.target.files]);
        event.target.value = "";
      };
    }
    byId("many-examples").onclick = () => this.takeExamples(examples);
    byId("many-stop").onclick = () => this.stop?.abort();
    byId("many-filter").onchange = event => (byId("many-result").dataset.show = event.target.value);
  }

  take(files) {
    const { images, rest, twice } = sortFiles(files);
    return this.run(images, [...rest, ...twice]);
  }

  async takeExamples(examples) {
    const images = new Map();
    for (const { name } of examples) images.set(name, await exampleFiles(name, CHANNELS));
    return this.run(images, []);
  }

  /** Answer for images; `left` are files that belong to none. */
  async run(images, left) {
    if (!images.size) {
      showProblem(byId("many-problem"), new Refusal("no file's name ends in a channel",
        "Name them NAME_red.png, NAME_green.png, NAME_blue.png and NAME_yellow.png (or .tif, .jpg)."));
      return;
    }
    this.stop?.abort();
    const stop = this.stop = new AbortController();
    this.begin(images.size);
    const groups = this.groups(images);
    try {
      for (const group of groups) await this.answer(group, stop.signal);
    } catch (error) {
      if (stop === this.stop && error.name !== "AbortError") showProblem(byId("many-problem"), error);
    }
    if (stop === this.stop) this.end(images.size, left);
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

  end(total, left) {
    byId("many-progress").hidden = true;
    const parts = [this.n < total ? `${this.n} of ${total} images, then stopped` : `${total} images`];
    parts.push(`${this.flagged} with flags`, `${this.failed} that cannot be read`);
    if (left.length) {
      const names = left.slice(0, 3).map(file => file.name).join(", ");
      parts.push(`${left.length} files left out, whose names tell no channel (${names}${left.length > 3 ? ", …" : ""})`);
    }
    byId("many-status").textContent = `${parts.join("; ")}.`;
    byId("many-csv").hidden = !this.csv.length;
    if (this.csv.length) offerCsv(byId("many-csv"), this.csv);
  }

  /** Cut images into groups that a request can hold. */
  groups(images) {
    const groups = [[]];
    let nBytes = 0;
    for (const [name, files] of images) {
      const size = bytesOf(name, files), last = groups.at(-1);
      const full = last.length === this.model.images_per_request || nBytes + size > this.model.max_request_bytes;
      if (last.length && full) {
        groups.push([]);
        nBytes = 0;
      }
      groups.at(-1).push([name, files]);
      nBytes += size;
    }
    return groups;
  }

  async answer(group, signal) {
    const found = await this.ask(group, signal);
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
    if (found.csv) this.csv.push(this.csv.length ? found.csv.slice(found.csv.indexOf("\n") + 1) : found.csv);
    // The order alone tells whose an answer is: the server shows names otherwise than the disk has them.
    if (found.answers.length !== group.length) throw new Refusal("the names of some images cannot be told apart", "Rename them.");
    for (const [place, [name, files]] of group.entries()) {
      const answer = found.answers[place];
      if (answer.error) this.addFailure(name, answer);
      else this.addAnswer(name, files, answer);
    }
    this.n += group.length;
    byId("many-bar").value = this.n;
    byId("many-status").textContent = `${this.n} of ${byId("many-bar").max} images`;
  }

  /** Return the answers of a group, in its order; an error only where no further group can fare better. */
  async ask(group, signal) {
    const nBytes = group.reduce((sum, each) => sum + bytesOf(...each), 0);
    if (nBytes > this.model.max_request_bytes) return allFailed(group, tooLarge(nBytes, this.model.max_request_bytes));
    try {
      return await send("api/answers", group, signal);
    } catch (error) {
      if (error.answers) return { answers: error.answers, csv: "" };
      throw error;
    }
  }

  addAnswer(name, files, answer) {
    const doubtful = new Set(answer.classes.filter(each => each.flags.length).map(each => each.label));
    const labels = answer.labels.map(label => make("span", { class: doubtful.has(label) ? "chip doubtful" : "chip",
      title: doubtful.has(label) ? "too little evidence for this label" : null }, doubtful.has(label) ? `${label} ?` : label));
    const flags = groupFlags(answer.flags).map(([text]) => make("li", {}, text));
    this.flagged += flags.length > 0;
    const open = make("button", { class: "link", onclick: () => this.look(name, files), title: "Look at this image" }, name);
    byId("rows").append(make("tr", { class: flags.length ? "flagged" : "good" }, make("th", { scope: "row" }, open),
      make("td", {}, ...(labels.length ? labels : ["none above its threshold"])),
      make("td", {}, flags.length ? make("ul", {}, ...flags) : make("span", { class: "faint" }, "nothing"))));
  }

  addFailure(name, { error, advice }) {
    this.failed += 1;
    byId("rows").append(make("tr", { class: "failed" }, make("th", { scope: "row" }, name),
      make("td", { colspan: 2 }, make("b", {}, `Cannot be read: ${error}.`), advice ? ` ${advice}` : "")));
  }
}

function allFailed(group, { message, advice }) {
  return { answers: group.map(() => ({ error: message, advice })), csv: "" };
}
