// Group chosen or dropped files into images: a File by name and field.

import { IMAGE_FILE, nameFiles, pathOf } from "./api.js";
import { withoutFolders } from "./archives.js";

/** Return the image name of a file of any name. */
export const imageName = async file => (await nameFiles([file.name])).files[0].name;

/** Group files into images; those that belong to none are `left`, each with the reason; `advice` is for them. */
export async function groupFiles(files, model) {
  const given = await withoutFolders(files, pathOf, model.max_request_bytes);
  const { files: named, advice } = await nameFiles(given.map(pathOf));
  const images = new Map(), left = [];
  given.forEach((file, k) => {
    const { name, field } = named[k], held = images.get(name) ?? {};
    const reason = named[k].reason || doubled(held, field);
    if (reason) left.push({ file, reason });
    else images.set(name, { ...held, [field]: file });
  });
  return { images, left, advice };
}

function doubled(held, field) {
  if (held[field]) return field === IMAGE_FILE ? "a second file of its name" : "a second file of its channel";
  const others = held[IMAGE_FILE] ?? (field === IMAGE_FILE && Object.values(held)[0]);
  return others ? `${others.name} is of the same image` : "";
}

/** Return the dropped files, including those in dropped folders. */
export async function droppedFiles(transfer) {
  // Read the entries before the first await: the browser then empties the transfer.
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    file.path = entry.fullPath.replace(/^\//, "");
    return [file];
  }
  const reader = entry.createReader(), children = [];
  for (;;) { // a reader returns about a hundred entries per call, finally none
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    children.push(...some);
  }
  return (await Promise.all(children.map(filesBelow))).flat();
}

/** Let an input accept chosen files; `use` receives them, also those chosen while the page loaded. */
export function acceptChosen(input, use) {
  const take = () => {
    if (!input.files.length) return;
    use([...input.files]);
    input.value = "";
  };
  input.onchange = take;
  queueMicrotask(take); // after both tabs are made
}

/** Let an element accept dropped files; `use` receives them. */
export function acceptDrops(element, use) {
  for (const kind of ["dragenter", "dragover"]) {
    element.addEventListener(kind, event => {
      event.preventDefault();
      event.stopPropagation();
      element.classList.add("over");
    });
  }
  element.addEventListener("dragleave", event => {
    if (!element.contains(event.relatedTarget)) element.classList.remove("over");
  });
  element.addEventListener("drop", async event => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    use(await droppedFiles(event.dataTransfer));
  });
}
