// The page: tabs, model description, and the two prediction tabs.

import { fetchJson } from "./api.js";
import { fullTitle, inWords } from "./channels.js";
import { byId, make, showProblem, swatch } from "./elements.js";
import { droppedFiles } from "./files.js";
import { ManyImages } from "./many.js";
import { OneImage } from "./one.js";

const TABS = ["one", "many", "about"];
const SOURCES = {
  synthetic: "simulated images", kaggle: "the images of the 2018 competition",
  hpa: "the public Human Protein Atlas", local: "user images",
};

function openTab(name, focus = false) {
  for (const each of TABS) {
    const tab = byId(`tab-${each}`), chosen = each === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(each).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
  if (name === "about") fitCard();
}

function wireTabs() {
  TABS.forEach((name, place) => {
    byId(`tab-${name}`).onclick = () => openTab(name);
    byId(`tab-${name}`).onkeydown = event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = step ? (place + step + TABS.length) % TABS.length : { Home: 0, End: TABS.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      openTab(TABS[to], true);
    };
  });
}

function describeModel(model) {
  const simulated = model.source === "synthetic";
  const { channels, labels } = model;
  const what = labels.length === 1 ? `finds one cell structure, “${labels[0].name}”,` : `names ${labels.length} cell structures`;
  byId("model").replaceChildren(`A neural network ${what} in ${inWords(channels.length)}-channel microscopy images, `,
    `and was trained on ${SOURCES[model.source] ?? "images of unknown source"}.`,
    ...(simulated ? [make("b", {}, " Do not rely on its predictions for real cells.")] : []));
  const facts = {
    "Trained on": SOURCES[model.source] ?? model.source,
    "Input size": `${model.image_size} × ${model.image_size} pixels, ${inWords(channels.length)} channel${channels.length > 1 ? "s" : ""}`,
    Channels: make("ul", {}, ...channels.map(each => make("li", {}, swatch(each.color), fullTitle(each)))),
    Labels: labelDetails(labels),
    "Training run": model.run_id || "unknown",
    "Weights (SHA-256)": model.weights_sha256 || "unknown",
  };
  byId("facts").append(...Object.entries(facts).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  byId("no-card").hidden = model.has_card;
  byId("card").hidden = !model.has_card;
  if (model.has_card) {
    byId("card").onload = fitCard;
    byId("card").src = "card";
  }
}

/** List the labels, folded if there are many. */
function labelDetails(labels) {
  const items = labels.map(({ number, name, description, color }) => make("li", {}, ...(color ? [swatch(color)] : []),
    make("b", {}, name), ` (${number})`, description ? `: ${description}` : ""));
  return make("details", { open: labels.length <= 5 }, make("summary", {}, `${labels.length}, by name and number`),
    make("ul", {}, ...items));
}

/** Make the card's frame as tall as the card. */
function fitCard() {
  const card = byId("card").contentDocument?.documentElement;
  if (!byId("about").hidden && card) byId("card").style.height = `${card.scrollHeight + 24}px`;
}

/** Keep files dropped before the model is known, and let no drop replace the page; return their taker. */
function keepDrops() {
  let dropped = null, known = false;
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => {
    event.preventDefault();
    if (!known) dropped = droppedFiles(event.dataTransfer);
  });
  return async take => {
    known = true;
    if (dropped) await take(await dropped);
  };
}

/** Let the dialogs for files offer the formats that are read. */
function offerFormats({ suffixes }) {
  for (const id of ["one-files", "many-files"]) byId(id).accept = suffixes;
}

async function main() {
  wireTabs();
  byId("host").textContent = location.host;
  const early = keepDrops();
  addEventListener("resize", fitCard);
  try {
    const [model, examples] = await Promise.all([fetchJson("api/model"), fetchJson("api/examples")]);
    describeModel(model);
    offerFormats(model);
    const one = new OneImage(model, examples, (images, left, advice) => {
      openTab("many");
      many.run(images, left, advice);
    });
    const many = new ManyImages(model, examples, (name, files) => {
      openTab("one");
      one.open(name, files);
    });
    await early(files => (byId("many").hidden ? one : many).take(files));
  } catch (error) {
    showProblem(byId("one-problem"), error);
  }
}

main();
