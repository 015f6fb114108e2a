"""The one rule of which files are read by their names, and why others are passed over.

`<name>_<channel>.<suffix>` is one channel of the image `<name>`. A hyphen or a blank may stand for
the underscore, and capitals make no difference in channel and suffix. If one channel's name is the
end of another's, as with `red` and `infra-red`, the longer one is read. A folder holds one file for
each channel of an image.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath

from hpa.data.images.formats import SUFFIXES
from hpa.errors import first_names
from hpa.vocabulary.channels import Channels

HIDDEN = "hidden"
OTHER_SUFFIX = "not a PNG, TIFF or JPEG by its name"
N_NAMES = 5
"""File names that a message about passed-over files lists for each reason."""


def split_name(path: PurePath, channels: Channels) -> tuple[str, str] | None:
    """Return image name and channel of a file name; None if the file is not read."""
    if reason_to_pass(path, channels):
        return None
    name, channel = _pattern(channels).fullmatch(path.stem).groups()  # type: ignore[union-attr]
    return name, next(each for each in channels.names if each.casefold() == channel.casefold())


def reason_to_pass(path: PurePath, channels: Channels) -> str | None:
    """Return why a file is passed over by its name, or None."""
    if path.name.startswith("."):
        return HIDDEN
    if path.suffix.lower() not in SUFFIXES:
        return OTHER_SUFFIX
    return None if _pattern(channels).fullmatch(path.stem) else no_channel(channels)


def no_channel(channels: Channels) -> str:
    """Return the reason to pass over a file whose name does not end in a channel."""
    return f"the name does not end in {', '.join(f'_{each}' for each in channels.names)}"


@cache
def _pattern(channels: Channels) -> re.Pattern[str]:
    """Return the pattern of name and channel; the shortest name leaves the longest channel."""
    names = "|".join(map(re.escape, channels.names))
    return re.compile(rf"(.+?)[_\- ]({names})", re.IGNORECASE | re.DOTALL)


def list_passed_over(passed_over: Mapping[Path, str]) -> list[str]:
    """Return a line for each reason to pass files over, with the first of their names."""
    lines = []
    for reason in dict.fromkeys(passed_over.values()):
        files = [str(path) for path, each in passed_over.items() if each == reason]
        lines.append(f"passed over ({reason}): {first_names(files, N_NAMES)}")
    return lines
