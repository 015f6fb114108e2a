"""LIF files of Leica, read by liffile. Each image, and each tile of a tile scan, is a scene."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import liffile
import numpy as np

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage

MICROMETRES = {"m": 1e6, "mm": 1e3, "µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "inch": 25_400}
IMAGE = "./Data/Image/ImageDescription/"
KNOWN = set("XYZTCMS")


class LifImage(OpenedImage):
    """An image in a LIF file."""

    def __init__(self, path: Path, *, scene: int | None, max_size_px: int) -> None:
        with refusing_damage("a LIF file"), ExitStack() as stack:
            self._file: Any = stack.enter_context(liffile.LifFile(path, squeeze=False))
            self._image: Any = None
            self._choose(scene or 1)
            self.description = self._describe(max_size_px)
            self._stack = stack.pop_all()

    def _choose(self, number: int) -> None:
        """Find the image, and the tile in it, that a number from 1 names."""
        left = number - 1
        self._n_scenes = 0
        for image in self._file.images:
            n_tiles = max(1, image.sizes.get("M", 1))
            if self._image is None and left < n_tiles:
                self._image, self._tile = image, left
            left -= n_tiles
            self._n_scenes += n_tiles
        if self._image is None:
            raise InvalidImageError(
                f"a LIF file of {self._n_scenes} images: none has number {number}"
            )

    def _describe(self, max_size_px: int) -> Description:
        image, sizes = self._image, self._image.sizes
        name = f"the image {image.name[:80]!r} of a LIF file"
        if image.is_flim:
            raise InvalidImageError(f"{name} holds lifetimes (FLIM), not intensities")
        others = [axis for axis, n in sizes.items() if axis not in KNOWN and n > 1]
        if others or set(image.frames.frame_dims) - {"S"} != {"X", "Y"}:
            raise InvalidImageError(
                f"{name} is not of planes of height and width, channels, depth and time "
                f"(its axes are {' '.join(sizes)})"
            )
        height, width = sizes["Y"], sizes["X"]
        if not (0 < height <= max_size_px and 0 < width <= max_size_px):
            raise InvalidImageError(
                f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
            )
        if image.memory_block.size < math.prod(sizes.values()) * image.dtype.itemsize:
            raise InvalidImageError(f"{name} has no pixels, or not all: export it again")
        n_samples = sizes.get("S", 1)
        if n_samples not in (1, 3) or (n_samples == 3 and image.dtype != np.uint8):
            raise InvalidImageError(f"{name} has {n_samples} samples per pixel: export them alone")
        channels = image.xml_element.findall(f"{IMAGE}Channels/ChannelDescription")
        bits = {int(each.get("Resolution", 0)) for each in channels}
        return Description(
            kind="LIF",
            height_px=height,
            width_px=width,
            dtype=image.dtype,
            channel_names=_channel_names(channels, sizes.get("C", 1)),
            n_slices=sizes.get("Z", 1),
            n_times=sizes.get("T", 1),
            n_scenes=self._n_scenes,
            bits=bits.pop() if len(bits) == 1 and image.dtype.kind == "u" else None,
            pixel_size_um=_pixel_size_um(image.xml_element),
            is_color_picture=n_samples == 3 and sizes.get("C", 1) == 1,
        )

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        at = {"C": channel, "Z": z, "T": 0, "M": self._tile}
        index = {axis: i for axis, i in at.items() if axis in self._image.sizes}
        with refusing_damage("a LIF file"):
            plane: np.ndarray = self._image.frame(**index)
        axes = "".join(self._image.frames.frame_dims)
        return plane.transpose([axes.index(axis) for axis in "YXS" if axis in axes])

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


def _channel_names(channels: list[Any], n_channels: int) -> tuple[str, ...]:
    """Return the names of the dyes; a lookup table's color is not a name."""
    names = []
    for channel in channels:
        found = {each.findtext("Key"): each.findtext("Value") for each in channel}
        names.append((found.get("DyeName") or "").strip())
    return tuple([*names, *[""] * n_channels][:n_channels])


def _pixel_size_um(element: Any) -> float | None:
    """Return the size of a pixel; None if it is not stated, or not of a square."""
    sizes = {}
    for each in element.findall(f"{IMAGE}Dimensions/DimensionDescription"):
        n_steps = int(each.get("NumberOfElements")) - 1  # the length is from first to last pixel
        unit = MICROMETRES.get(each.get("Unit", ""), math.nan)
        sizes[each.get("DimID")] = abs(float(each.get("Length"))) * unit / max(1, n_steps)
    x, y = sizes.get("1", math.nan), sizes.get("2", math.nan)
    return x if 0 < x < math.inf and math.isclose(x, y, rel_tol=0.01) else None
