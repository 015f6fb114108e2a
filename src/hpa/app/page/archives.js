// A folder of OME-Zarr as one file: a ZIP archive whose members are stored as they are.

import { RequestError } from "./api.js";

const FOLDER = /^(.*?\.zarr)\/(.+)$/i, MOST_FILES = 65_535;
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** Return the files, with each folder x.zarr as one file, x.zarr.zip. */
export async function withoutFolders(files, pathOf, maxBytes) {
  const single = [], folders = new Map();
  for (const file of files) {
    const [, folder, inside] = FOLDER.exec(pathOf(file)) ?? [];
    if (!folder) { single.push(file); continue; }
    if (!folders.has(folder)) folders.set(folder, []);
    folders.get(folder).push([inside, file]);
  }
  for (const [folder, members] of folders) single.push(await archived(folder, members, maxBytes));
  return single;
}

/** Return the archive, or for a folder beyond a request only its size: the page refuses it. */
async function archived(folder, members, maxBytes) {
  const path = `${folder}.zip`, name = path.split("/").at(-1), size = members.reduce((sum, [, file]) => sum + file.size, 0);
  if (size > maxBytes) return { name, path, size };
  if (members.length > MOST_FILES) {
    throw new RequestError(`${folder} consists of ${members.length} files`, "Export it with larger chunks, or as an OME-TIFF.");
  }
  return Object.assign(new File(await stored(members), name), { path });
}

/** Return the parts of a ZIP archive of [path, File] pairs (PKWARE APPNOTE, 4.3). */
async function stored(members) {
  const parts = [], directory = [];
  let offset = 0;
  for (const [path, file] of members) {
    const content = new Uint8Array(await file.arrayBuffer()), name = new TextEncoder().encode(path);
    // Version 2.0, names in UTF-8, stored, no date; then checksum, sizes, and the lengths of name and extra field.
    const facts = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc32(content)], [4, content.length],
      [4, content.length], [2, name.length], [2, 0]];
    const header = numbers([[4, 0x04034b50], ...facts]);
    directory.push(numbers([[4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), name);
    parts.push(header, name, content);
    offset += header.length + name.length + content.length;
  }
  const size = directory.reduce((sum, each) => sum + each.length, 0), n = members.length;
  return [...parts, ...directory, numbers([[4, 0x06054b50], [2, 0], [2, 0], [2, n], [2, n], [4, size], [4, offset], [2, 0]])];
}

/** Encode [bytes, value] pairs, the lowest byte first. */
function numbers(pairs) {
  return Uint8Array.from(pairs.flatMap(([n, value]) => Array.from({ length: n }, (_, k) => (value >>> (8 * k)) & 255)));
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
