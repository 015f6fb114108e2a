"""CZI files of Zeiss, read by pylibCZIrw. The tiles of a mosaic are stitched."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pylibCZIrw import czi

from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage

MAX_CHANNELS = 1_000
DTYPES = {"Gray8": "u1", "Gray16": "<u2", "Gray32Float": "<f4", "Bgr24": "u1"}
OTHER_AXES = {"R": "rotations", "I": "illuminations", "H": "phases", "V": "views", "B": "blocks"}
IMAGE = "./Metadata/Information/Image/"


class CziImage(OpenedImage):
    """An image in a CZI file."""

    def __init__(self, path: Path, *, scene: int | None, max_size_px: int) -> None:
        with refusing_damage("a CZI file"), ExitStack() as stack:
            self._file: Any = stack.enter_context(czi.open_czi(str(path)))
            self._choose(scene or 1)
            self.description = self._describe(max_size_px)
            self._stack = stack.pop_all()

    def _choose(self, number: int) -> None:
        """Find the scene, and its place in the document, that a number from 1 names."""
        scenes = self._file.scenes_bounding_rectangle_no_pyramid
        self._n_scenes = max(1, len(scenes))
        if number > self._n_scenes:
            raise InvalidImageError(
                f"a CZI file of {self._n_scenes} scenes: none has number {number}"
            )
        self._scene = sorted(scenes)[number - 1] if scenes else None
        whole = self._file.total_bounding_rectangle_no_pyramid
        self._box = scenes[self._scene] if scenes else whole

    def _describe(self, max_size_px: int) -> Description:
        sizes = {axis: high for axis, (_, high) in self._file.total_bounding_box_no_pyramid.items()}
        width, height, n_channels = self._box.w, self._box.h, sizes["C"]
        if not (0 < height <= max_size_px and 0 < width <= max_size_px):
            raise InvalidImageError(
                f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})"
            )
        if n_channels > MAX_CHANNELS:
            raise InvalidImageError(f"a CZI file of {n_channels} channels (at most {MAX_CHANNELS})")
        for axis, name in OTHER_AXES.items():
            if sizes.get(axis, 1) > 1:
                raise InvalidImageError(f"a CZI file of {sizes[axis]} {name}: save one as OME-TIFF")
        types = {self._file.get_channel_pixel_type(channel) for channel in range(n_channels)}
        kind = types.pop()
        if types or kind not in DTYPES or (kind == "Bgr24" and n_channels > 1):
            raise InvalidImageError(
                f"a CZI file of {n_channels} channels of the types {', '.join({kind, *types})} "
                f"(one of {', '.join(DTYPES)})"
            )
        text = self._file.raw_metadata.strip()
        metadata = ElementTree.fromstring(text) if text else ElementTree.Element("none")
        return Description(
            kind="CZI",
            height_px=height,
            width_px=width,
            dtype=np.dtype(DTYPES[kind]),
            channel_names=_channel_names(metadata, n_channels),
            n_slices=sizes["Z"],
            n_times=sizes["T"],
            n_scenes=self._n_scenes,
            bits=_bits(metadata),
            pixel_size_um=_pixel_size_um(metadata),
            is_color_picture=kind == "Bgr24",
        )

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        place = {"C": channel, "Z": z, "T": 0}
        with refusing_damage("a CZI file"):
            if not self._has(place):  # the library returns black planes
                raise InvalidImageError(f"a CZI file without a plane of channel {channel + 1}")
            plane: np.ndarray = self._file.read(
                roi=tuple(self._box), plane=place, scene=self._scene
            )
        return plane[..., ::-1] if self.description.is_color_picture else plane[..., 0]

    def _has(self, place: dict[str, int]) -> bool:
        found: list[int] = []

        def note(index: int, _: object) -> bool:
            found.append(index)
            return False  # one is enough

        self._file.enumerate_subblocks_subset(
            note, plane=place, roi=tuple(self._box), only_layer0=True
        )
        return bool(found)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


def _channel_names(metadata: ElementTree.Element, n_channels: int) -> tuple[str, ...]:
    channels = metadata.findall(f"{IMAGE}Dimensions/Channels/Channel")
    names = [(each.get("Name") or "").strip() for each in channels]
    return tuple([*names, *[""] * n_channels][:n_channels])


def _bits(metadata: ElementTree.Element) -> int | None:
    places = (f"{IMAGE}ComponentBitCount", f"{IMAGE}Dimensions/Channels/Channel/ComponentBitCount")
    found = [int(each.text or 0) for place in places for each in metadata.findall(place)]
    return max(found, default=0) or None


def _pixel_size_um(metadata: ElementTree.Element) -> float | None:
    """Return the size of a pixel; None if it is not stated, or not of a square."""
    sizes = {
        each.get("Id"): float(each.findtext("Value") or "nan") * 1e6
        for each in metadata.findall("./Metadata/Scaling/Items/Distance")
    }
    x, y = sizes.get("X", math.nan), sizes.get("Y", math.nan)
    return x if 0 < x < math.inf and math.isclose(x, y, rel_tol=1e-3) else None
