"""Notes on what was assumed of the files of an image, and flags of what their depth lost."""

from collections.abc import Mapping, Sequence

from hpa.data.images.channel_choice import is_by_position, is_of_other_files
from hpa.data.images.depth import DepthRule, GreyPlane, type_in_words
from hpa.data.images.opened import Description
from hpa.vocabulary.channels import Channels


def notes_on_channels(
    described: Description,
    places: Mapping[str, int | None],
    channels: Channels,
    found_as: str | None,
    black: Sequence[str],
) -> list[str]:
    """Say what was assumed of a file of several channels, and what it lacks."""
    if len(described.channel_names) == 1:
        return []
    notes = []
    if is_by_position(described, channels, found_as):
        order = ", ".join(channels.names)
        notes.append(f"the channels in the file have no names: taken in the order {order}")
    if is_of_other_files(described, found_as):
        notes.append("the file has none of the names of found_as: read by the channels' own names")
    absent = [name for name, place in places.items() if place is None]
    if lacking := [name for name in absent if name not in black]:
        held = ", ".join(name or "one without a name" for name in described.channel_names)
        notes.append(f"no channel named {' or '.join(lacking)} in the file, which holds {held}")
    return notes


def depth_flags(
    grey: Mapping[str, GreyPlane], depth: DepthRule, known_types: Sequence[str] | None
) -> list[str]:
    """Describe conversions that the model was not trained on or that lost something."""
    if known_types is None:
        return []
    flags = []
    for stored in dict.fromkeys(each.stored for each in grey.values()):
        if stored not in known_types:
            known = " and ".join(dict.fromkeys(map(type_in_words, known_types)))
            flags.append(
                f"{type_in_words(stored)} values{_scaling(grey, stored)}; the model was trained on "
                f"{known} images"
            )
    for name, each in grey.items():
        if each.limits and each.n_cut > depth.most_cut(each.pixels.size):
            low, high = each.limits
            flags.append(
                f"{each.n_cut:,} of {each.pixels.size:,} pixels of the {name} channel are beyond "
                f"{low:g} to {high:g} and were cut"
            )
        if each.is_coarse:
            flags.append(f"the {name} channel is left with {each.n_levels} grey levels")
    return flags


def _scaling(grey: Mapping[str, GreyPlane], stored: str) -> str:
    limits = {each.limits for each in grey.values() if each.stored == stored and each.limits}
    if not limits:
        return ""
    if len(limits) > 1:
        return ", each channel stretched to its own range"
    low, high = limits.pop()
    if low == high:
        return ", all alike"
    return f", of which {low:g} became black and {high:g} white"
