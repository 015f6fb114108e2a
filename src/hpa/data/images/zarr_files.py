"""OME-Zarr 0.4 and 0.5 (and what older versions share with them): a folder, or a zip file of one.

Level 0 of the pyramid is read, one plane at a time. Axes may stand in any order. A collection of
several images (bioformats2raw) has a scene per image.
"""

import json
import math
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage
from hpa.data.images.zarr_codecs import as_version_3, bounded
from hpa.data.images.zarr_metadata import (
    axes_of,
    channel_names,
    images,
    ome_attributes,
    pixel_size_um,
)
from hpa.data.images.zarr_stores import CheckedStore, Folder, Zip, is_key

MAX_CHUNK_BYTES = 512_000_000
"""Bytes of a decoded chunk, at most; as many are decoded at once."""
MAX_PLANE_CHUNKS, MAX_SHARD_CHUNKS = 16_384, 262_144
MAX_CHANNELS = 1_000
NUMBERS = r"[<>|]?[uif][1248]|u?int(8|16|32|64)|float(16|32|64)"


class ZarrImage(OpenedImage):
    """An image in OME-Zarr."""

    def __init__(self, source: Path | bytes, *, scene: int | None, max_size_px: int) -> None:
        with refusing_damage("OME-Zarr"), ExitStack() as stack:
            self._store = CheckedStore(_files(source))
            stack.callback(self._store.files.close)
            self._open(scene, max_size_px)
            self._stack = stack.pop_all()

    def _open(self, scene: int | None, max_size_px: int) -> None:
        groups = images(self._store)
        number = scene or 1
        if number > len(groups):
            raise InvalidImageError(f"OME-Zarr of {len(groups)} images: none has number {number}")
        attributes = ome_attributes(self._store, groups[number - 1])
        multiscales = attributes["multiscales"][0]
        path = multiscales["datasets"][0]["path"]
        if not is_key(path):
            raise InvalidImageError(f"OME-Zarr whose pixels are elsewhere ({str(path)[:80]!r})")
        self._path = f"{groups[number - 1]}/{path}".lstrip("/")
        self._array = _array(self._store, self._path)
        shape = self._array.shape
        self._axes = axes_of(multiscales.get("axes"), len(shape))
        sizes = dict(zip(self._axes, shape, strict=True))
        _check_sizes(sizes, max_size_px)
        if any(n > 1 for axis, n in zip(self._axes, shape, strict=True) if axis == "-"):
            raise InvalidImageError("OME-Zarr with an axis that is not channel, depth or time")
        self.description = Description(
            kind="OME-Zarr",
            height_px=sizes["y"],
            width_px=sizes["x"],
            dtype=self._array.dtype.newbyteorder("="),
            channel_names=channel_names(attributes, sizes.get("c", 1)),
            n_slices=sizes.get("z", 1),
            n_times=sizes.get("t", 1),
            n_scenes=len(groups),
            pixel_size_um=pixel_size_um(multiscales, self._axes),
        )
        self._check_chunks()
        self._store.max_bytes = 2 * MAX_CHUNK_BYTES

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        at = {"c": channel, "z": z}
        index = tuple(slice(None) if name in "yx" else at.get(name, 0) for name in self._axes)
        self._store.missing = []
        concurrency = {"async.concurrency": self._concurrency()}
        with refusing_damage("OME-Zarr"), zarr.config.set(concurrency):
            plane = np.asarray(self._array[index])
        if self._axes.index("x") < self._axes.index("y"):
            plane = plane.T
        if self._store.missing:
            self._judge_missing(plane, channel)
        return plane.astype(self.description.dtype, copy=False)

    def _check_chunks(self) -> None:
        at = [self._axes.index(axis) for axis in "yx"]
        shape, chunks = self._array.shape, self._array.chunks
        if math.prod(-(-shape[each] // chunks[each]) for each in at) > MAX_PLANE_CHUNKS:
            raise InvalidImageError(
                f"OME-Zarr in chunks of {chunks[at[0]]}×{chunks[at[1]]} pixels, more than "
                f"{MAX_PLANE_CHUNKS:,} of a plane: save it again in larger ones"
            )

    def _judge_missing(self, plane: np.ndarray, channel: int) -> None:
        """Flag absent chunks, which are read as black, unless the picture fades to black there.

        Writers leave out chunks that are black throughout, and an interrupted copy leaves out any.

        Raises:
            InvalidImageError: no pixel of the image is there.
        """
        if not self._store.files.has_pixels(self._path):
            raise InvalidImageError("OME-Zarr without pixels: copy it again, whole")
        absent = np.zeros(plane.shape, np.uint8)
        files = self._array.shards or self._array.chunks
        for key in self._store.missing:
            numbers = re.findall(r"\d+", key.removeprefix(self._path))[-len(files) :]
            start = [int(number) * size for number, size in zip(numbers, files, strict=True)]
            (y, h), (x, w) = ((start[i], files[i]) for i in map(self._axes.index, "yx"))
            absent[y : y + h, x : x + w] = 1
        beside = (cv2.dilate(absent, np.ones((3, 3), np.uint8)) > absent).nonzero()
        if beside[0].size == 0 or np.mean(plane[beside] > plane.min()) > 0.5:
            self.flags = tuple(dict.fromkeys((*self.flags, (
                f"{absent.mean():.0%} of a plane of channel {channel + 1} is absent from the "
                "OME-Zarr and read as black: a copy that is not whole?"
            ))))  # fmt: skip

    def _concurrency(self) -> int:
        """Return the number of chunks to decode at once, so that memory is bounded."""
        n_bytes = math.prod(self._array.chunks) * self._array.dtype.itemsize
        return max(1, min(10, MAX_CHUNK_BYTES // n_bytes))

    def close(self) -> None:
        """Close the zip file."""
        self._stack.close()


def _files(source: Path | bytes) -> Folder | Zip:
    return Folder(source) if isinstance(source, Path) and source.is_dir() else Zip(source)


def _array(store: CheckedStore, path: str) -> Any:
    """Open the array of a level, after its metadata are checked.

    Raises:
        InvalidImageError: it is absent, has other values than numbers, or absurd chunks.
    """
    if (document := store.read_json(f"{path}/zarr.json")) is not None:
        dtype, shape, chunks = document["data_type"], document["shape"], _inner_chunks(document)
    elif (document := store.read_json(f"{path}/.zarray")) is not None:
        dtype, shape, chunks = document["dtype"], document["shape"], document["chunks"]
    else:
        raise InvalidImageError(
            f"OME-Zarr without its part {path!r}, the full resolution: copy the folder again, whole"
        )
    if not isinstance(dtype, str) or not re.fullmatch(NUMBERS, dtype):
        raise InvalidImageError(f"OME-Zarr with values of type {str(dtype)[:40]}, not numbers")
    _check_numbers(shape)
    _check_numbers(chunks)
    n_bytes = math.prod(chunks) * np.dtype(dtype).itemsize
    if n_bytes > MAX_CHUNK_BYTES:
        raise InvalidImageError(
            f"OME-Zarr in chunks of {n_bytes / 1e6:,.0f} MB (at most {MAX_CHUNK_BYTES / 1e6:.0f} "
            "MB): save it again in chunks of one plane"
        )
    if "data_type" not in document:
        document = as_version_3(document)
    document = {**document, "attributes": {}, "codecs": bounded(document["codecs"])}
    store.documents = {f"{path}/zarr.json": json.dumps(document).encode()}
    return zarr.open_array(store=store, path=path, mode="r", zarr_format=3)


def _inner_chunks(document: dict[str, Any]) -> list[int]:
    """Return the shape of the chunks that are decoded: of version 3, those inside of shards.

    Raises:
        InvalidImageError: a shard has too many.
    """
    chunks = list(document["chunk_grid"]["configuration"]["chunk_shape"])
    for codec in document["codecs"]:
        if codec["name"] == "sharding_indexed":
            inner = list(codec["configuration"]["chunk_shape"])
            _check_numbers([*chunks, *inner])
            if math.prod(chunks) > MAX_SHARD_CHUNKS * math.prod(inner):
                raise InvalidImageError("OME-Zarr in shards of too many chunks")
            return inner
    return chunks


def _check_numbers(numbers: Any) -> None:
    """Refuse what is not the shape of an image."""
    if not (
        isinstance(numbers, list)
        and 2 <= len(numbers) <= 8
        and all(type(each) is int and each > 0 for each in numbers)
    ):
        raise InvalidImageError(f"OME-Zarr of shape {str(numbers)[:80]}: not an image")


def _check_sizes(sizes: dict[str, int], max_size_px: int) -> None:
    """Refuse an image that is too large."""
    if max(sizes["y"], sizes["x"]) > max_size_px:
        raise InvalidImageError(
            f"{sizes['x']}×{sizes['y']} pixels (at most {max_size_px}×{max_size_px})"
        )
    if sizes.get("c", 1) > MAX_CHANNELS:
        raise InvalidImageError(f"OME-Zarr of {sizes['c']} channels (at most {MAX_CHANNELS})")
