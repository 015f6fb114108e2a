// The server's answers, and its refusals as errors that carry a reason and what to do about it.

export class Refusal extends Error {
  constructor(reason, advice = "", answers = null) {
    super(reason);
    this.advice = advice;
    this.answers = answers; // of several images that all failed, each one's reason
  }
}

export async function fetchJson(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("the server does not answer", "Is it still running? Start it again with: make app");
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    const reason = content.error || `the server answered with status ${response.status}`;
    throw new Refusal(reason, content.advice, content.answers);
  }
  return content;
}

/** Send images, as [name, files by channel], and return the answer. */
export function send(address, images, signal) {
  const form = new FormData();
  for (const [name, files] of images) {
    for (const [channel, file] of Object.entries(files)) form.append(channel, file, `${name}_${channel}.png`);
  }
  return fetchJson(address, { method: "POST", body: form, signal });
}

/** Return how many bytes a request with an image takes, a little above the truth. */
export function bytesOf(name, files) {
  return Object.values(files).reduce((sum, file) => sum + file.size + 3 * name.length + 300, 200);
}

export function tooLarge(nBytes, allowed) {
  return new Refusal(
    `${(nBytes / 1e6).toFixed(1)} MB are too large (at most ${allowed / 1e6} MB a request)`,
    "Send smaller pictures, or raise serve.max_request_mb.");
}

/** Return the files of a simulated image, as if they had been chosen. */
export async function exampleFiles(name, channels) {
  const blobs = channels.map(async channel => {
    const response = await fetch(`examples/${name}/${channel}.png`);
    return [channel, new File([await response.blob()], `${name}_${channel}.png`, { type: "image/png" })];
  });
  return Object.fromEntries(await Promise.all(blobs));
}
