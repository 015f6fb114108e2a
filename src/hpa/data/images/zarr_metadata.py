"""OME metadata of a Zarr store: its images, their axes, channel names and pixel size."""

import math
from contextlib import suppress
from typing import Any

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.zarr_stores import CheckedStore, is_key
from hpa.errors import first_names

MAX_SCENES = 10_000
MICROMETRES = {
    "angstrom": 1e-4, "picometer": 1e-6, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0,
    "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "inch": 25_400.0,
    "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3,
}  # fmt: skip
"""Micrometres of the units of OME-Zarr, and of abbreviations that some programs write."""


def ome_attributes(store: CheckedStore, group: str) -> dict[str, Any]:
    """Return the OME metadata of a group; empty if it has none.

    Raises:
        InvalidImageError: it is an array, or no group is there.
    """
    place = f"{group}/" if group else ""
    if document := store.read_json(f"{place}zarr.json"):
        if document.get("node_type") == "array":
            raise _bare_array()
        attributes = document.get("attributes") or {}
        return {**attributes, **(attributes.get("ome") or {})}
    if store.read_json(f"{place}.zarray"):
        raise _bare_array()
    attributes = store.read_json(f"{place}.zattrs")
    if attributes is None and store.read_json(f"{place}.zgroup") is None:
        raise InvalidImageError(
            f"OME-Zarr without its part {group!r}: copy the folder again, whole"
            if group
            else "a folder that is not OME-Zarr (it has neither zarr.json nor .zattrs)"
        )
    return attributes or {}


def _bare_array() -> InvalidImageError:
    return InvalidImageError(
        "a Zarr array without the metadata of OME-Zarr, which say what its axes are: give the "
        "folder above it if that is OME-Zarr, or save it as OME-Zarr or OME-TIFF"
    )


def images(store: CheckedStore) -> list[str]:
    """Return the groups of the store that are images; the root is "".

    Raises:
        InvalidImageError: there is none, or it is a plate or a segmentation.
    """
    root = ome_attributes(store, "")
    if "image-label" in root or "labels" in root:
        raise InvalidImageError("a segmentation (labels of objects) in OME-Zarr, not an image")
    if "multiscales" in root:
        return [""]
    if "plate" in root or "well" in root:
        raise InvalidImageError(_fields(store, root))
    if root.get("bioformats2raw.layout") is not None:
        return _series(store)
    raise InvalidImageError(
        "a Zarr group without an image of OME-Zarr (multiscales): give the folder of one image"
    )


def _fields(store: CheckedStore, root: dict[str, Any]) -> str:
    """Describe a plate or a well by the paths of the fields to give instead."""
    wells = [each["path"] for each in root["plate"]["wells"]] if "plate" in root else [""]
    fields: list[str] = []
    for well in wells[:3]:  # enough for an example
        found = root if not well else ome_attributes(store, well)
        paths = [each["path"] for each in found["well"]["images"]]
        fields += [f"{well}/{path}".lstrip("/") for path in paths]
    what = f"a plate of {len(wells)} wells" if "plate" in root else "a well of a plate"
    return (
        f"{what} in OME-Zarr: give the folders of its fields, each as an image: "
        f"{first_names(fields, 3)}{' …' if len(wells) > 3 else ''}, inside this folder"
    )


def _series(store: CheckedStore) -> list[str]:
    """Return the groups of a collection, as its OME group lists them, or numbered from 0."""
    for name in ("OME/zarr.json", "OME/.zattrs"):
        found = store.read_json(name) or {}
        attributes = found.get("attributes", found)
        series = attributes.get("ome", attributes).get("series")
        if series and len(series) <= MAX_SCENES and all(map(is_key, series)):
            return list(series)
    groups: list[str] = []
    while len(groups) < MAX_SCENES and _is_group(store, str(len(groups))):
        groups.append(str(len(groups)))
    if not groups:
        raise InvalidImageError("a collection of OME-Zarr without an image")
    return groups


def _is_group(store: CheckedStore, group: str) -> bool:
    return any(store.read_json(f"{group}/{name}") is not None for name in ("zarr.json", ".zattrs"))


def axes_of(axes: Any, n_dimensions: int) -> str:
    """Return a letter of `tczyx` per dimension; "-" for an unknown one.

    Raises:
        InvalidImageError: height or width is not among them, or one occurs twice.
    """
    if axes is None and n_dimensions == 5:  # as OME-Zarr 0.1 and 0.2 define
        return "tczyx"
    letters = "".join(_letter(each) for each in axes or [])
    known = letters.replace("-", "")
    if len(letters) != n_dimensions or not {"x", "y"} <= set(known) or len(set(known)) < len(known):
        raise InvalidImageError(
            f"OME-Zarr whose axes ({str(axes)[:100]}) do not name height and width of its "
            f"{n_dimensions} dimensions"
        )
    return letters


def _letter(axis: Any) -> str:
    name, kind = (axis, "") if isinstance(axis, str) else (axis["name"], axis.get("type", ""))
    if kind in ("channel", "time"):
        return kind[0]
    return name.lower() if name.lower() in tuple("tczyx") else "-"


def channel_names(attributes: dict[str, Any], n_channels: int) -> tuple[str, ...]:
    """Return the labels of the channels; "" for a channel without one."""
    labels: list[str] = []
    with suppress(AttributeError, TypeError, KeyError):  # what is not laid out so is no label
        for each in attributes["omero"]["channels"]:
            labels.append(str(each.get("label") or "").strip())
    return tuple([*labels, *[""] * n_channels][:n_channels])


def pixel_size_um(multiscales: dict[str, Any], axes: str) -> float | None:
    """Return the size of a pixel at full resolution; None if unknown, or not of a square."""
    with suppress(AttributeError, TypeError, KeyError, IndexError, ValueError):
        y, x = (_size_um(multiscales, axes.index(axis)) for axis in "yx")
        if 0 < x < math.inf and math.isclose(x, y, rel_tol=1e-3):
            return x
    return None


def _size_um(multiscales: dict[str, Any], at: int) -> float:
    """Multiply the scales of an axis and its unit; an error says that one of them is not stated."""
    steps = [
        float(each["scale"][at])
        for level in (multiscales["datasets"][0], multiscales)
        for each in level.get("coordinateTransformations") or []
        if each["type"] == "scale"
    ]
    if not steps:
        raise KeyError("scale")
    return math.prod(steps) * MICROMETRES[multiscales["axes"][at]["unit"]]
