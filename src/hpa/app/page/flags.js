// Quality flags: labels that the model card distrusts, and equal flags of several channels merged.

import { listed } from "./channels.js";

const OF_CHANNEL = /^the ([\w.+-]+) channel (is|shows) (.*)$/;

/** Return the names of the labels that the model card distrusts. */
export function distrustedLabels(prediction) {
  return new Set(prediction.classes.filter(each => each.flags.length).map(each => each.label));
}

/** Return [text, first of the merged flags] pairs. */
export function groupFlags(flags) {
  const groups = new Map();
  for (const flag of flags) {
    const [, channel, verb, rest] = OF_CHANNEL.exec(flag) ?? [];
    const key = channel ? `${verb} ${rest}` : flag;
    if (!groups.has(key)) groups.set(key, { flag, verb, rest, channels: [] });
    groups.get(key).channels.push(channel);
  }
  return [...groups.values()].map(group => [textOf(group), group.flag]);
}

function textOf({ flag, verb, rest, channels }) {
  if (channels.length === 1) return flag;
  return `the ${listed(channels)} channels ${verb === "is" ? "are" : "show"} ${rest}`;
}
