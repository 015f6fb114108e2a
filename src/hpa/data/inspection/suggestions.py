"""Parameters that suit inspected images: those of fetch that reading needs, those of pack."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from hpa.config.params import Params
from hpa.data.images.depth import type_in_words
from hpa.data.inspection.guesses import are_stains
from hpa.data.inspection.measuring import Measured
from hpa.data.inspection.overlay import Setting

TILES_FROM = 1.5
"""Ratio of the sides from which tiles suit better than padding with black."""
SAME_SIZE = 1.05
"""Pixel sizes within this ratio count as equal."""
STEP_PX, MIN_PX = 32, 32
"""`pack.image_size` is a multiple of 32."""


def suggest(images: Sequence[Measured], params: Params, *, framed: bool) -> list[Setting]:
    """Return the parameters of fetch and pack that the files themselves call for.

    Args:
        images: measured ones.
        params: the present parameters; a value that is right already is left out.
        framed: whether the images are cut out on black.
    """
    used = [each for each in images if each.planes_shape]
    settings = [*_of_fetch(images, used, params), *_of_pack(used, params, framed)]
    present, sizes = params.flat(), ["pack.pixel_size_um"] * bool(pixel_sizes(used))
    shown = (*SHOWN, *sizes)
    return [
        each
        for each in settings
        if each.key in shown or each.value not in IDLE or present[each.key] != each.value
    ]


SHOWN = ("fetch.depth", "pack.image_size")
"""Shown even if they are right already: their reasons are worth reading; so are pixel sizes."""
IDLE = (None, "refuse", "none")
"""Values that do nothing, and are left out if they are right already; the lines hold all others,
so that they serve on top of any params.yaml."""


def _of_fetch(
    images: Sequence[Measured], used: Sequence[Measured], params: Params
) -> Iterator[Setting]:
    if used:
        lacking = Counter(name for each in used for name in each.absent)
        listed = ", ".join(f"{n} of {len(used)} images lack {name}" for name, n in lacking.items())
        reason = f"{listed}: black, or remove them" if lacking else "no image lacks a channel"
        yield Setting("fetch.missing_channels", " ".join(lacking) or None, reason)
    depths = {
        description.n_slices
        for each in images
        for _, description in each.files
        if not are_stains(description.slice_names)
    }
    if max(depths, default=1) > 1:
        slices = " and ".join(map(str, sorted(depths)[-2:]))
        yield Setting("fetch.z", _z(params), f"stacks of {slices} slices: the brightest of each")
    deep = Counter(kind for each in used for kind in set(each.dtypes.values()) if kind != "uint8")
    if deep:
        kinds = ", ".join(f"{n} of {type_in_words(kind)} values" for kind, n in deep.most_common())
        brightest = max(value for each in used for value in each.brightest.values())
        reason = f"images: {kinds}, brightest {brightest:,g}; docs/data.md explains the rules"
        yield Setting("fetch.depth", params.fetch.depth, reason)


def _z(params: Params) -> str | int:
    return "max" if params.fetch.z == "refuse" else params.fetch.z


def _of_pack(used: Sequence[Measured], params: Params, framed: bool) -> Iterator[Setting]:
    if not used:
        return
    shapes = [each.planes_shape for each in used if each.planes_shape]
    smallest = min(min(shape) for shape in shapes)
    largest = max(max(shape) for shape in shapes)
    wanted = params.pack.image_size
    fitting = max(MIN_PX, min(wanted, smallest // STEP_PX * STEP_PX))
    sides = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    yield Setting(
        "pack.image_size",
        fitting,
        f"the sides of the images have {sides} pixels; 96 suits two CPU cores, a GPU 256 or more"
        if fitting == wanted
        else f"the smallest images have {smallest} pixels; more would add none",
    )
    framing = "cells cut out on black, which then fill the input" if framed else "whole fields"
    yield Setting("pack.framing", "content" if framed else "none", framing)
    ratio = max(max(shape) / min(shape) for shape in shapes)
    odd = "refuse"
    if ratio > 1 and not framed:
        odd = "tiles" if ratio >= TILES_FROM else "pad"
        n_odd = sum(shape[0] != shape[1] for shape in shapes)
        words = "squares that cover each field" if odd == "tiles" else "black beside the field"
        reason = f"{n_odd} of {len(shapes)} images are not square: {words}"
    else:
        reason = "all images are square" if not framed else "a square is cut around each cell"
    size = _common_pixel_size(used, fitting, odd) if not framed else None
    if size and odd == "refuse":
        odd, reason = "pad", "fields of another size are smaller at the same scale"
    yield Setting("pack.odd_size", odd, reason)
    yield Setting("pack.pixel_size_um", size, _pixel_reason(used, size))


def pixel_sizes(used: Sequence[Measured]) -> list[float]:
    """List the pixel sizes of images, in micrometres, in ascending order."""
    return sorted({each.pixel_size_um for each in used if each.pixel_size_um})


def _common_pixel_size(used: Sequence[Measured], image_size: int, odd: str) -> float | None:
    """Return the pixel size at which the largest field fills the input, if sizes differ."""
    sizes = pixel_sizes(used)
    if not sizes or sizes[-1] <= SAME_SIZE * sizes[0] or not all(e.pixel_size_um for e in used):
        return None
    side = min if odd == "tiles" else max
    extents = [
        side(each.planes_shape) * each.pixel_size_um
        for each in used
        if each.planes_shape and each.pixel_size_um
    ]
    digits = 10.0 ** (2 - math.floor(math.log10(max(extents) / image_size)))
    return math.ceil(max(extents) / image_size * digits) / digits


def _pixel_reason(used: Sequence[Measured], size: float | None) -> str:
    sizes = pixel_sizes(used)
    if size:
        return (
            f"the files state {sizes[0]:.3g} to {sizes[-1]:.3g} µm: one scale, at "
            "which the largest field fills the input"
        )
    if not sizes:
        return "no file states a pixel size"
    if not all(each.pixel_size_um for each in used):
        return "not stated by all files: no common scale"
    spread = f"{sizes[0]:.3g}" + (f" to {sizes[-1]:.3g}" if len(sizes) > 1 else "")
    return f"{spread} µm in all images: one scale already"
