"""OME-Zarr 0.4 and 0.5 (and what older versions share with them): a folder, or a zip file of one.

Level 0 of the pyramid is read, one plane at a time. Axes may stand in any order. A collection of
several images (bioformats2raw) has a scene per image.
"""

import math
import re
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage
from hpa.data.images.store_files import Folder, Zip
from hpa.data.images.zarr_arrays import MAX_CHUNK_BYTES, open_array
from hpa.data.images.zarr_metadata import (
    axes_of,
    channel_names,
    images,
    ome_attributes,
    pixel_size_um,
)
from hpa.data.images.zarr_stores import CheckedStore, is_key

MAX_PLANE_CHUNKS = 16_384
MAX_CHANNELS, MAX_ABSENT = 1_000, 200


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
        self._array = open_array(self._store, self._path)
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
        self._block: tuple[tuple[int, int], np.ndarray] = (-1, -1), np.empty(0)
        self._n_absent = 0
        self._store.max_bytes = 2 * MAX_CHUNK_BYTES

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        first, stop = self._slices_with(z)
        if self._block[0] != (channel, first):
            self._block = (channel, first), self._read_block(channel, first, stop)
        return self._block[1][z - first]

    def _slices_with(self, z: int) -> tuple[int, int]:
        """Return first slice, and that after the last, of those to decode together.

        A chunk of several slices is decoded once for all of them, as far as memory permits.
        """
        found = self.description
        n_bytes = found.height_px * found.width_px * found.dtype.itemsize
        depth = self._array.chunks[self._axes.index("z")] if "z" in self._axes else 1
        n_slices = max(1, min(depth, MAX_CHUNK_BYTES // n_bytes))
        start = z // depth * depth
        first = start + (z - start) // n_slices * n_slices
        return first, min(first + n_slices, start + depth, found.n_slices)

    def _read_block(self, channel: int, first: int, stop: int) -> np.ndarray:
        """Decode slices as [Z,H,W]."""
        at = {"c": channel, "z": slice(first, stop), "y": slice(None), "x": slice(None)}
        self._store.missing = []
        with refusing_damage("OME-Zarr"), self._bounded_memory():
            block = np.asarray(self._array[tuple(at.get(axis, 0) for axis in self._axes)])
        kept = [axis for axis in self._axes if axis in "zyx"]
        block = block.transpose([kept.index(axis) for axis in "zyx" if axis in kept])
        block = block.reshape(-1, *block.shape[-2:]).astype(self.description.dtype, copy=False)
        if self._store.missing:
            self._judge_missing(block.max(axis=0), channel)
        return block

    def _bounded_memory(self) -> AbstractContextManager[Any]:
        """Decode fewer large chunks at once than zarr does."""
        n_bytes = math.prod(self._array.chunks) * self._array.dtype.itemsize
        if zarr.config.get("async.concurrency") * n_bytes <= MAX_CHUNK_BYTES:
            return nullcontext()
        return zarr.config.set({"async.concurrency": max(1, MAX_CHUNK_BYTES // n_bytes)})

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
            InvalidImageError: no pixel of the image is there, or hundreds of slices are absent.
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
        self._n_absent += bool(absent.all())
        if self._n_absent > MAX_ABSENT:
            raise InvalidImageError(f"OME-Zarr that lacks more than {MAX_ABSENT} slices")
        beside = (cv2.dilate(absent, np.ones((3, 3), np.uint8)) > absent).nonzero()
        if beside[0].size == 0 or np.mean(plane[beside] > plane.min()) > 0.5:
            share = "a plane" if absent.all() else "a part"
            flag = (
                f"{share} of channel {channel + 1} is absent from the OME-Zarr and read as black: "
                "is the copy whole?"
            )
            self.flags = tuple(dict.fromkeys((*self.flags, flag)))

    def close(self) -> None:
        """Close the zip file."""
        self._stack.close()


def _files(source: Path | bytes) -> Folder | Zip:
    return Folder(source) if isinstance(source, Path) and source.is_dir() else Zip(source)


def _check_sizes(sizes: dict[str, int], max_size_px: int) -> None:
    """Refuse an image that is too large."""
    if max(sizes["y"], sizes["x"]) > max_size_px:
        raise InvalidImageError(
            f"{sizes['x']}×{sizes['y']} pixels (at most {max_size_px}×{max_size_px})"
        )
    if sizes.get("c", 1) > MAX_CHANNELS:
        raise InvalidImageError(f"OME-Zarr of {sizes['c']} channels (at most {MAX_CHANNELS})")
