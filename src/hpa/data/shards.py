"""Shards, the units of packing: decoded images as rows of a `.npy` file, with a description beside.

One process packs one shard, into a folder where it stays until the packed folder is complete. A
later run reuses a finished shard if its name, which digests all that decides its bytes, and the
SHA-256 of its bytes still match.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import kornia_rs
import numpy as np
import pandas as pd

from hpa.data.images import decoding, framing
from hpa.data.images.catalogue import channel_path
from hpa.data.images.decoding import UnreadableImageError, announced_shape, read_tiles, view_hashes
from hpa.data.images.framing import FramingRules, count_tiles
from hpa.data.packed.pixel_sizes import PACKED_SIZE, PIXEL_SIZE
from hpa.system.files import atomic_path, digest, read_json, sha256, write_json

BLANK_STD = 1 / 255
"""A channel is blank if its standard deviation is below one grey level."""
QUARANTINE_COLUMNS = ("Id", "path", "reason")


@dataclass(frozen=True)
class PackingTask:
    """Images to pack into the shard `path`, given without suffix."""

    path: Path
    images: pd.DataFrame
    raw_dir: Path
    channels: Sequence[str]
    rules: FramingRules

    @property
    def n_rows(self) -> int:
        """Number of rows to expect, from the headers of the files."""
        if self.rules.odd_size != "tiles":
            return len(self.images)
        paths = (
            (channel_path(self.raw_dir / folder, image_id, self.channels[0]), pixel_size_um)
            for folder, image_id, pixel_size_um in _places(self.images)
        )
        return sum(
            count_tiles(announced_shape(path), pixel_size_um, self.rules)
            for path, pixel_size_um in paths
        )

    @property
    def pixels_path(self) -> Path:
        """The shard's rows."""
        return self.path.with_suffix(".npy")

    @property
    def description_path(self) -> Path:
        """The shard's description, written last: its rows, unreadable images and SHA-256."""
        return self.path.with_suffix(".json")


def plan_shard(
    images: pd.DataFrame,
    raw_dir: Path,
    shards_dir: Path,
    *,
    channels: Sequence[str],
    rules: FramingRules,
) -> PackingTask:
    """Name a shard by all that decides its bytes: files, rules, code, decoder and resizer.

    A file is identified by its name, size and modification time, as in `make`. The `images` are
    rows of the catalogue, whose `pixel_size_um` is a number, or None if it is unknown.
    """
    code = [sha256(Path(file)) for file in (decoding.__file__, framing.__file__, __file__)]
    content: list[Any] = [cv2.__version__, kornia_rs.__version__, code, channels, asdict(rules)]
    for folder, image_id, pixel_size_um in _places(images):
        content.append(pixel_size_um)
        for channel in channels:
            path = channel_path(raw_dir / folder, image_id, channel)
            status = path.stat()
            content.append((folder, path.name, status.st_size, status.st_mtime_ns))
    return PackingTask(shards_dir / digest(content), images, raw_dir, channels, rules)


def _places(images: pd.DataFrame) -> Iterator[tuple[str, str, float | None]]:
    """Yield folder, Id and pixel size of each image."""
    return zip(images["folder"], images["Id"], images[PIXEL_SIZE], strict=True)


def pack_shard(task: PackingTask) -> dict[str, Any]:
    """Write a shard unless it is already there, and return its description."""
    if task.description_path.exists():
        description: dict[str, Any] = read_json(task.description_path)
        if task.pixels_path.exists() and sha256(task.pixels_path) == description["sha256"]:
            return description
    cv2.setNumThreads(1)
    with atomic_path(task.pixels_path, flush=False) as path:
        description = _write_rows(task, path)
        description["sha256"] = sha256(path)
    write_json(task.description_path, description)
    return description


def _write_rows(task: PackingTask, path: Path) -> dict[str, Any]:
    """Write the readable images; NumPy leaves room in the header, so it can be rewritten.

    An image of several tiles gives several rows: `tile` is a number from 1, or 0 if there is one.
    `cut` describes the images of which the middle alone is packed.
    """
    rows: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    cut: list[str] = []
    shape = (task.rules.image_size, task.rules.image_size, len(task.channels))
    with path.open("wb") as file:
        _write_header(file, (len(task.images), *shape))
        for folder, image_id, pixel_size_um in _places(task.images):
            place = task.raw_dir / folder, image_id
            try:
                tiles = read_tiles(*place, task.channels, task.rules, pixel_size_um)
            except UnreadableImageError as error:
                cells = (image_id, str(error.path.relative_to(task.raw_dir)), error.reason)
                unreadable.append(dict(zip(QUARANTINE_COLUMNS, cells, strict=True)))
                continue
            cut += [f"{image_id}: {tiles.cut}"] if tiles.cut else []
            for number, pixels in enumerate(tiles.pixels, start=int(len(tiles.pixels) > 1)):
                file.write(pixels.data)
                own = {"Id": image_id, "tile": number, PACKED_SIZE: tiles.pixel_size_um}
                rows.append(own | measure(pixels, task.channels))
        file.seek(0)
        _write_header(file, (len(rows), *shape))
    return {"rows": rows, "unreadable": unreadable, "cut": cut}


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def measure(pixels: np.ndarray, channels: Sequence[str]) -> dict[str, Any]:
    """Return the index columns of uint8[S,S,K]: statistics in [0,1], blank channels, hash, CRC-32.

    `<channel>_saturated` is the fraction of white pixels.
    """
    columns: dict[str, Any] = {}
    for channel, plane in zip(channels, cv2.split(pixels), strict=True):
        mean, std = (each.item() / 255 for each in cv2.meanStdDev(plane))
        columns[f"{channel}_mean"] = mean
        columns[f"{channel}_std"] = std
        columns[f"{channel}_saturated"] = float(np.mean(plane == 255))
    blank = [channel for channel in channels if columns[f"{channel}_std"] < BLANK_STD]
    return columns | {
        "blank": " ".join(blank),
        "hash": view_hashes(pixels),
        "crc32": zlib.crc32(pixels.data),
    }
