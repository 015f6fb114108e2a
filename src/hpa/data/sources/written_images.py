"""Write the channels of one image as 8-bit grey PNG, and say what its files held."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.images.catalogue import channel_path
from hpa.data.images.decoding import read_channel
from hpa.data.images.headers import is_grey_png
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, read_stored
from hpa.data.sources.png_files import write_png
from hpa.data.sources.reading_rules import unreadable
from hpa.errors import UserError

ABSENT = ""
"""Path of a channel that an image lacks."""
EIGHT_BITS = "uint8"


@dataclass(frozen=True)
class Written:
    """Facts of an image that was written.

    Attributes:
        image_id: its Id.
        types: types of the stored values, such as `uint16`, of each channel that was read.
        pixel_size_um: micrometres; None if neither file nor table nor parameter states it.
        n_cut, n_converted: pixels cut, and all pixels, in channels of other than 8 bits.
        is_coarse: whether such a channel has fewer than 32 grey levels.
        notes: assumptions on the channels of its files.
    """

    image_id: str
    types: tuple[str, ...]
    pixel_size_um: float | None
    n_cut: int = 0
    n_converted: int = 0
    is_coarse: bool = False
    notes: tuple[str, ...] = ()


def write_image(
    folder: Path, row: Mapping[str, Any], rules: ReadingRules, may_lack: Collection[str]
) -> Written:
    """Write the channels of a row of `write_layout`.

    Raises:
        UserError: a file is invalid, or lacks a channel that it must not.
    """
    channels, image_id = rules.channels, row["Id"]
    targets = {
        name: channel_path(folder / row["folder"], image_id, name) for name in channels.names
    }
    sources = {name: Path(row[name]) for name in channels.names if row[name] != ABSENT}
    copied = {name: path for name, path in sources.items() if _is_copied(path, sources)}
    for name, path in copied.items():
        shutil.copyfile(path, targets[name])
    if stated := row.get("pixel_size_um"):
        rules = replace(rules, pixel_size_um=stated)
    others = {name: path for name, path in sources.items() if name not in copied}
    try:
        read = read_stored(others, rules)
        grey = read.to_grey(rules.depth)
    except InvalidImageError as error:
        raise unreadable(error, image_id, list(others)) from error
    for name, each in grey.items():
        write_png(targets[name], each.pixels)
    absent = [name for name in channels.names if name not in copied and name not in grey]
    _require_allowed([name for name in absent if name in others and name not in may_lack], row)
    if absent:
        protein = channels.names[channels.protein]
        pixels = read_channel(copied[protein]) if protein in copied else grey[protein].pixels
        for name in absent:
            write_png(targets[name], np.zeros(pixels.shape, np.uint8))
    converted = [each for each in grey.values() if each.is_converted]
    return Written(
        image_id,
        types=(*[EIGHT_BITS] * len(copied), *(each.stored for each in grey.values())),
        pixel_size_um=read.pixel_size_um,
        n_cut=sum(each.n_cut for each in converted),
        n_converted=sum(each.pixels.size for each in converted),
        is_coarse=any(each.is_coarse for each in converted),
        notes=read.notes,
    )


def _is_copied(path: Path, sources: Mapping[str, Path]) -> bool:
    """Tell whether a file is of one channel and already as it must be."""
    alone = sum(each == path for each in sources.values()) == 1
    return alone and path.is_file() and is_grey_png(path)


def _require_allowed(absent: list[str], row: Mapping[str, Any]) -> None:
    """Refuse an image whose file of several channels lacks one that is needed."""
    if absent:
        raise UserError(
            f"{row[absent[0]]} has no channel {' or '.join(absent)}",
            expected="each of fetch.channels, or where it is by fetch.found_as",
            received="a file of other channels",
            remedy="set fetch.found_as, or fetch.missing_channels if these are truly missing",
        )
