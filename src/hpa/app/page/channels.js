// The model's channels in words and colours; `channels` are those that the server describes.

import { make } from "./elements.js";

const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"];

/** Formats of files that hold all channels. */
export const FORMATS = "OME-TIFF, ImageJ stack, OME-Zarr, CZI, ND2 or LIF";

/** Return a number of channels in words. */
export const inWords = n => NUMBERS[n] ?? String(n);

/** Join words: "a, b and c". */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Return the channel that shows the protein: no image lacks it. */
export const proteinOf = channels => channels.find(each => each.role === "protein");

/** Return what a channel shows, or "" if the model does not say. */
export function shownBy({ role, shows }) {
  return role === "protein" && shows === "protein" ? "the protein" : shows;
}

/** Return a title for each channel, by name: what it shows, if no other shows the same. */
export function shortTitles(channels) {
  const shown = channels.map(shownBy);
  return Object.fromEntries(channels.map((channel, k) => [channel.name,
    shown[k] && shown.indexOf(shown[k]) === shown.lastIndexOf(shown[k]) ? shown[k] : channel.name]));
}

export function fullTitle(channel) {
  return [channel.name, shownBy(channel)].filter(Boolean).join(": ");
}

/** Return the ends of file names as elements: …_red, …_green. */
export function nameEnds(channels, start = "…") {
  const before = k => (k === 0 ? "" : k === channels.length - 1 ? " and " : ", ");
  return channels.flatMap(({ name }, k) => [before(k), make("code", {}, `${start}_${name}`)]);
}
