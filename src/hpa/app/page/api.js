// Requests to the server; its errors carry a reason and advice.

export class RequestError extends Error {
  constructor(reason, advice = "", predictions = null) {
    super(reason);
    this.advice = advice;
    this.predictions = predictions; // the error of each image if all of several failed
  }
}

export async function fetchJson(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("the server does not respond", "Is it still running? Start it again with: make app");
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    const reason = content.error || `the server returned status ${response.status}`;
    throw new RequestError(reason, content.advice, content.predictions);
  }
  return content;
}

/** Field of a file of several channels. */
export const IMAGE_FILE = "image_file";

/** Send images, as [name, files by field], and return the response; a field is a channel or IMAGE_FILE. */
export function send(address, images, signal) {
  const form = new FormData();
  for (const [name, files] of images) {
    for (const [field, file] of Object.entries(files)) {
      form.append(field, file, field === IMAGE_FILE ? pathOf(file) : `${name}_${field}.png`);
    }
  }
  return fetchJson(address, { method: "POST", body: form, signal });
}

/** Return name and field of the `files` of paths, or a reason to skip each, by the rule of all commands; and `advice`. */
export function nameFiles(paths) {
  const headers = { "content-type": "application/json" };
  return fetchJson("api/names", { method: "POST", headers, body: JSON.stringify(paths) });
}

export function pathOf(file) {
  return file.path || file.webkitRelativePath || file.name;
}

/** Estimate the bytes of an image in a request, rounded up. */
export function bytesOf(name, files) {
  return Object.values(files).reduce((sum, file) => sum + file.size + 3 * name.length + 300, 200);
}

export function tooLarge(nBytes, allowed) {
  return new RequestError(
    `${(nBytes / 1e6).toFixed(1)} MB are too large (at most ${allowed / 1e6} MB per request)`,
    "Send smaller images, or raise serve.max_request_mb.");
}

/** Download the files of a simulated image. */
export async function exampleFiles(name, channels) {
  const blobs = channels.map(async channel => {
    const response = await fetch(`examples/${name}/${channel}.png`);
    return [channel, new File([await response.blob()], `${name}_${channel}.png`, { type: "image/png" })];
  });
  return Object.fromEntries(await Promise.all(blobs));
}
