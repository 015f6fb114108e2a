"""Choice of the plane of each channel in a file of several channels.

    found_as    says where a channel is: its name in the file, or its number from 1; not in a file
                that has the channels' own names and none of these
    names       otherwise a channel of the file has the name of the channel, in any capitals
    position    otherwise, if the file's channels have no names and are as many, the order counts

A file that has some of the channels lacks the others. Nothing is guessed beyond that.

The slices of a file of one channel are channels if `found_as` or their labels say so, as Fiji's
"Images to Stack" writes channels as slices.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage
from hpa.errors import did_you_mean, first_names
from hpa.vocabulary.channels import MAX_CHANNELS, Channels

NO_NAME = re.compile(
    r"(channel|chan|ch|c|w|wavelength|image|frame|page|plane|sample|series|track)?[\W_]*"
    r"\d*([\W_]+\d+)*",
    re.IGNORECASE,
)
"""Names that say no more than a number: `Channel:0:1`, `C=1`, `ch 2`, `3`."""


def choose(
    description: Description,
    channels: Channels,
    found_as: str | None,
    wanted: Collection[str] | None = None,
) -> dict[str, int | None]:
    """Return the index of each channel among those of a file; None if the file lacks it.

    Args:
        description: of the file.
        channels: those of the data set.
        found_as: text such as `red=3; green=GFP`, or None.
        wanted: names of channels; None for all. A file of one channel has that of each.

    Raises:
        InvalidImageError: `found_as` names what the file lacks or has twice, or the channels of the
            file have neither these names nor this number; it says what to set.
    """
    wanted = channels.names if wanted is None else wanted
    names = description.channel_names
    if len(names) == 1:
        return dict.fromkeys(wanted, 0)
    if is_by_position(description, channels, found_as):
        return {name: channels.names.index(name) for name in wanted}
    stated = {} if is_of_other_files(description, found_as) else places(found_as)
    chosen = {
        name: _stated_place(name, stated[name], names)
        if name in stated
        else _place_of(name, name, names)
        for name in wanted
    }
    if all(place is None for place in chosen.values()):
        raise InvalidImageError(_not_found(names, channels))
    return chosen


def is_by_position(description: Description, channels: Channels, found_as: str | None) -> bool:
    """Tell whether only the order says which channel of a file is which."""
    names = description.channel_names
    return (
        found_as is None
        and 1 < len(names) == len(channels)
        and not any(_normal(own) in map(_normal, names) for own in channels.names)
        and all(NO_NAME.fullmatch(name) for name in names)
    )


def is_of_other_files(description: Description, found_as: str | None) -> bool:
    """Tell whether a file has the own names of channels, and none of the words of `found_as`."""
    stated = places(found_as)
    held = {_normal(name) for name in description.channel_names if name}
    return (
        bool(stated)
        and not any(place.isdecimal() or _normal(place) in held for place in stated.values())
        and all(_normal(name) in held for name in stated)
    )


class SlicesAsChannels(OpenedImage):
    """A stack of one channel whose slices are read as channels."""

    def __init__(self, stack: OpenedImage) -> None:
        found, self._stack = stack.description, stack
        names = found.slice_names or ("",) * found.n_slices
        self.description = replace(found, channel_names=names, slice_names=(), n_slices=1)

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a slice; see `OpenedImage.read`."""
        return self._stack.read(0, channel)


def are_slices_channels(
    description: Description,
    wanted: Collection[str],
    found_as: str | None,
    *,
    by_number: bool = True,
) -> bool:
    """Tell whether the slices of a file of one channel are the channels that are wanted of it.

    Their labels are names of channels or words of `found_as`, or `found_as` has numbers of a few
    slices and `by_number` holds: no rule says what to do with stacks in depth.
    """
    n_slices = description.n_slices
    if min(len(wanted), n_slices) < 2 or len(description.channel_names) > 1:
        return False
    held = {_normal(name) for name in description.slice_names}
    stated = places(found_as)
    numbers = {place for place in stated.values() if place.isdecimal()}
    words = {_normal(stated.get(name, name)) for name in wanted} - numbers
    for names in ({_normal(name) for name in wanted}, set() if numbers else words):
        if names and held and (names <= held or held <= names):
            return True
    return bool(numbers) and by_number and n_slices <= MAX_CHANNELS and words <= held


def places(found_as: str | None) -> dict[str, str]:
    """Return the place of each channel that a text states.

    >>> places("red=3; green = GFP")
    {'red': '3', 'green': 'GFP'}
    """
    pairs = (each.split("=", 1) for each in (found_as or "").split(";") if each.strip())
    return {name.strip(): place.strip() for name, place in pairs}


def _stated_place(channel: str, place: str, names: Sequence[str]) -> int:
    if place.isdecimal():
        if not 1 <= int(place) <= len(names):
            raise InvalidImageError(
                f"{len(names)} channels, but found_as says {channel}={place}: numbers are 1 to "
                f"{len(names)}"
            )
        return int(place) - 1
    index = _place_of(channel, place, names)
    if index is None:
        raise InvalidImageError(
            f"no channel named {place}, as found_as says for {channel}; it has "
            f"{_listed(names)}{did_you_mean(place, names)}"
        )
    return index


def _place_of(channel: str, name: str, names: Sequence[str]) -> int | None:
    """Return the index of a name among those of a file; None if it is not there."""
    found = [index for index, each in enumerate(names) if _normal(each) == _normal(name)]
    if len(found) > 1:
        numbers = " or ".join(f"{channel}={index + 1}" for index in found)
        raise InvalidImageError(
            f"{len(found)} channels named {names[found[0]]} ({_listed(names)}): choose one by its "
            f"number, found_as: {numbers}"
        )
    return found[0] if found else None


def _not_found(names: Sequence[str], channels: Channels) -> str:
    line = "; ".join(f"{name}=…" for name in channels.names)
    similar = "".join(
        dict.fromkeys(did_you_mean(own, [each for each in names if each]) for own in channels.names)
    )
    return (
        f"{len(names)} channels ({_listed(names)}), none named {' or '.join(channels.names)}"
        f"{similar}; say where each is, by such a name or by its number from 1: found_as: {line}"
    )


def _listed(names: Sequence[str]) -> str:
    if not any(names):
        return "without names"
    return first_names([name or f"number {n} without a name" for n, name in enumerate(names, 1)])


def _normal(name: str) -> str:
    return " ".join(name.casefold().split())
