"""Rules by which section fetch has a user's files read, and what to change if one is refused."""

import re

from hpa.config.params import fetched_channels
from hpa.config.sections import Fetch
from hpa.data.images.depth import DepthRule
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, UnreadableSourceError
from hpa.errors import UserError

REMEDIES = (
    (r"slices in depth", "set fetch.z to max or to the number of a slice"),
    (r"(found_as: .*)", r"set it in section fetch, with what holds for your files: \1"),
    (
        r"found_as says",
        "correct fetch.found_as, or leave it out if the channels have their own names",
    ),
    (r"none has number", "correct the number behind # in the table"),
    (r"not numbers", "save it without them (in ImageJ: Process > Math > NaN Background, value 0)"),
    (r"last axis of an array", "save the array as OME-TIFF with the channels first, as [C, Y, X]"),
    (r"extra `microscopes`", "install the package, or save the image as OME-TIFF"),
    (r"fields in one file", "name one of them in a table (.csv) of paths, or export each"),
    (r"time series", "export one time point"),
    (
        r"above|below zero|not of 8 bits|8 bits alone",
        "set fetch.depth to camera or percentile, or to the value of white (65535, or 4095 for a "
        "12-bit camera)",
    ),
    (r"unequal pixel size", "correct the pixel size in the files, or export them alike"),
)
"""Patterns of reasons, and what to do; the first match counts."""


def reading_rules(fetch: Fetch) -> ReadingRules:
    """Return the rules of reading that section fetch states."""
    return ReadingRules(
        channels=fetched_channels(fetch.channels),
        depth=DepthRule.of(fetch.depth, fetch.percentiles),
        z=fetch.z,
        found_as=fetch.found_as,
        pixel_size_um=fetch.pixel_size_um,
    )


def unreadable(error: InvalidImageError, image_id: str, names: list[str]) -> UserError:
    """Return the error of an image that cannot be read."""
    is_file = isinstance(error, UnreadableSourceError) and error.path is not None
    reason = error.reason if isinstance(error, UnreadableSourceError) else str(error)
    return UserError(
        f"{error.path if is_file else f'image {image_id}'} cannot be read",  # type: ignore[attr-defined]
        expected=f"a whole image of {', '.join(names)}, as a microscope or ImageJ saves it (see "
        "docs/data.md)",
        received=reason,
        remedy=_remedy(reason, names),
    )


def _remedy(reason: str, names: list[str]) -> str:
    for pattern, remedy in REMEDIES:
        if match := re.search(pattern, reason):
            return match.expand(remedy)
    channel = f"the {names[0]} channel" if len(names) == 1 else "each channel"
    return (
        f"copy the file again, export {channel} alone as grey, or remove the image's row from the "
        "CSV"
    )
