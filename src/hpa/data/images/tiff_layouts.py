"""Arrangement of the planes of a TIFF: which page holds which channel and slice.

The metadata say it: those of OME-XML are read by `ome_layouts`, others by `tiff_metadata`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpa.data.images.ome_xml import MAX_PLANES
from hpa.data.images.opened import InvalidImageError


@dataclass(frozen=True)
class Plane:
    """Place of a plane: in a file ("" if in this one), on a page, of which sample and depth.

    `skip` planes are passed over that stand behind the page's own, without directories.
    """

    page: int
    file: str = ""
    sample: int = 0
    depth: int = 0
    skip: int = 0


@dataclass(frozen=True)
class Layout:
    """Contents of a TIFF, as in `Description`; `planes` by channel and slice, at the first time."""

    kind: str
    channel_names: tuple[str, ...]
    planes: Mapping[tuple[int, int], Plane]
    n_slices: int = 1
    n_times: int = 1
    n_scenes: int = 1
    bits: int | None = None
    pixel_size_um: float | None = None
    slice_names: tuple[str, ...] = ()


def arrange(
    layout: Layout,
    stored: Sequence[Plane],
    order: str,
    sizes: Mapping[str, int],
    n_samples: int,
    depth: int = 1,
) -> Layout:
    """Give each plane its channel and slice; the samples of a page are channels that vary fastest.

    Args:
        layout: without planes.
        stored: the places in the order of the file.
        order: of the axes, the fastest first.
        sizes: of the axes.
        n_samples: per pixel.
        depth: slices within a page, if it is a volume.
    """
    if depth > 1 and sizes["Z"] > 1:
        raise InvalidImageError("a stack of volumes")
    if len(stored) * n_samples * depth > MAX_PLANES:
        raise too_many_planes(len(stored) * n_samples * depth)
    planes = {}
    strides = dict(
        zip(order, np.cumprod([1, *(sizes[axis] for axis in order)]).tolist(), strict=False)
    )
    for channel in range(sizes["C"] * n_samples):
        for z in range(sizes["Z"] * depth):
            place = stored[channel // n_samples * strides["C"] + z // depth * strides["Z"]]
            planes[channel, z] = Plane(
                place.page, place.file, channel % n_samples, z % depth, place.skip
            )
    names = layout.channel_names if len(layout.channel_names) == sizes["C"] * n_samples else ()
    return replace(
        layout,
        planes=planes,
        channel_names=names or ("",) * (sizes["C"] * n_samples),
        n_slices=sizes["Z"] * depth,
        n_times=sizes["T"],
    )


def too_many_planes(number: int) -> InvalidImageError:
    """Return the error for a file of more planes than any image has."""
    return InvalidImageError(
        f"{number:,} planes, more than {MAX_PLANES:,}: save one image, of one time, in its own file"
    )


def contradiction(metadata: str) -> InvalidImageError:
    """Return the error for metadata that the file's pages contradict."""
    return InvalidImageError(
        f"{metadata}: the file is cut, or its metadata are wrong; open it in Fiji and save it again"
    )
