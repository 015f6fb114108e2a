"""OME-Zarr folders and zip files, as programs write them and as they should not be."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr


def write_ome_zarr(
    path: Path,
    planes: np.ndarray,
    axes: str = "cyx",
    *,
    version: int = 2,
    labels: Sequence[str] = (),
    pixel_size: float | None = None,
    unit: str | None = "micrometer",
    n_levels: int = 2,
    **array: Any,
) -> Path:
    """Write planes with one dimension per letter of `axes` as OME-Zarr 0.4 (2) or 0.5 (3)."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    steps = [1 << level for level in range(n_levels)]
    for level, step in enumerate(steps):
        index = tuple(slice(None, None, step if axis in "yx" else 1) for axis in axes)
        pixels = planes[index]
        written = group.create_array(
            str(level), shape=pixels.shape, dtype=pixels.dtype, **{"chunks": "auto", **array}
        )
        written[...] = pixels
    kinds = {"c": "channel", "t": "time"}
    multiscales: dict[str, Any] = {
        "axes": [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes],
        "datasets": [{"path": str(level)} for level in range(n_levels)],
    }
    for axis in multiscales["axes"]:
        if axis["type"] == "space" and unit and pixel_size:
            axis["unit"] = unit
    for step, dataset in zip(steps, multiscales["datasets"], strict=True):
        scale = [(pixel_size or 1) * step if axis in "yx" else 1 for axis in axes]
        dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    ome: dict[str, Any] = {"multiscales": [multiscales]}
    if labels:
        ome["omero"] = {"channels": [{"label": label} for label in labels]}
    group.attrs.update(ome if version == 2 else {"ome": {"version": "0.5", **ome}})
    return path


def zipped(folder: Path, prefix: str = "", compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a folder as a zip file beside it."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", compression) as file:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                file.write(each, prefix + str(each.relative_to(folder)))
    return path


def edit_json(path: Path, edit: Any) -> None:
    """Change a document of metadata by a function."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
