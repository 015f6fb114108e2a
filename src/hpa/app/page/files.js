// Group chosen or dropped files into images: a File by name and channel.

/** Return image name and channel of a path as hpa.data.images.file_names does, or null. */
export function splitName(path, channels) {
  const any = channels.map(({ name }) => name.replace(/[.+-]/g, "\\$&")).join("|");
  // The shortest name leaves the longest channel.
  const named = new RegExp(`^(?!(?:.*/)?\\.)((?:.*/)?[^/]+?)[_\\- ](${any})\\.(png|tiff?|jpe?g)$`, "i");
  const match = named.exec(path);
  if (!match) return null;
  const channel = match[2].toLowerCase();
  return [match[1], channels.find(({ name }) => name.toLowerCase() === channel).name];
}

/** Return the image name of a file of any name. */
export const imageName = (file, channels) =>
  splitName(file.name, channels)?.[0] ?? file.name.replace(/\.[^.]+$/, "");

/** Group files into images; files without a channel in their name are `rest`. */
export function groupFiles(files, channels) {
  const images = new Map(), rest = [], twice = [];
  for (const file of files) {
    const parts = splitName(pathOf(file), channels);
    if (!parts) { rest.push(file); continue; }
    const [name, key] = parts;
    if (!images.has(name)) images.set(name, {});
    if (images.get(name)[key]) twice.push(file);
    else images.get(name)[key] = file;
  }
  return { images, rest, twice };
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

function pathOf(file) {
  return file.path || file.webkitRelativePath || file.name;
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
