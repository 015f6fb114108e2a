"""The one rule of which files are read by their names, and why others are passed over.

`<name>_<channel>.<suffix>` is one channel of the image `<name>`. A hyphen or a blank may stand for
the underscore, and capitals make no difference in channel and suffix. A folder holds one file for
each channel of an image.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from hpa.data.images.formats import SUFFIXES
from hpa.labels import CHANNELS

HIDDEN = "hidden"
OTHER_SUFFIX = "not a PNG, TIFF or JPEG by its name"
NO_CHANNEL = f"the name does not end in {', '.join(f'_{each}' for each in CHANNELS)}"
NAMED = re.compile(rf"(.+)[_\- ]({'|'.join(CHANNELS)})", re.IGNORECASE | re.DOTALL)
N_NAMES = 5
"""File names that a message about passed-over files lists for each reason."""


def split_name(path: PurePath) -> tuple[str, str] | None:
    """Return image name and channel of a file name; None if the file is not read."""
    named = NAMED.fullmatch(path.stem)
    if named is None or reason_to_pass(path):
        return None
    return named[1], named[2].lower()


def reason_to_pass(path: PurePath) -> str | None:
    """Return why a file is passed over by its name, or None."""
    if path.name.startswith("."):
        return HIDDEN
    if path.suffix.lower() not in SUFFIXES:
        return OTHER_SUFFIX
    return None if NAMED.fullmatch(path.stem) else NO_CHANNEL


def list_passed_over(passed_over: Mapping[Path, str]) -> list[str]:
    """Return a line for each reason to pass files over, with the first of their names."""
    lines = []
    for reason in dict.fromkeys(passed_over.values()):
        files = [str(path) for path, each in passed_over.items() if each == reason]
        more = f" and {len(files) - N_NAMES} more" if len(files) > N_NAMES else ""
        lines.append(f"passed over ({reason}): {', '.join(files[:N_NAMES])}{more}")
    return lines
