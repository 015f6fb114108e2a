"""Record of the parameters that made the data, kept beside it.

    data/raw/parameters.json      section fetch, the keys that matter to its source; `found`: the
                                  types of the files' values, and limits of set_percentile
    data/packed/manifest.json     that record, and section pack
    data/split/parameters.json    section split, and the SHA-256 of the index that was split

Folders made by earlier versions, or by hand, have no record: nothing is checked there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpa.errors import UserError
from hpa.system.files import read_json, sha256

RECORD = "parameters.json"
OF_FILES = (
    "path",
    "labels",
    "label_map",
    "missing_channels",
    "depth",
    "percentiles",
    "pixel_size_um",
)
FETCHED_BY = {
    "synthetic": ("n_images", "n_unlabelled", "image_size", "tempering", "seed"),
    "local": (*OF_FILES, "channels", "pattern", "found_as", "z"),
    "kaggle": ("competition",),
    "hpa": (*OF_FILES, "base_url", "skip_absent"),
}
"""Keys of section fetch that decide what each source gives."""


def fetch_record(
    fetch: Mapping[str, Any], found: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the record of a fetched folder; `found` is what its files held.

    >>> fetch_record({"source": "kaggle", "competition": "hpa", "n_images": 6000})
    {'fetch': {'source': 'kaggle', 'competition': 'hpa'}}
    """
    kinds = [fetch["source"]]
    if fetch["source"] == "several":
        kinds = [each["source"] for each in fetch["sources"]]
    keys = dict.fromkeys(key for kind in kinds for key in FETCHED_BY[kind])
    if fetch["source"] == "several":
        keys = dict.fromkeys(("sources", "labels", "label_map", "channels", *keys))
        keys.pop("path", None)  # of the section: what DVC watches
    record = {"fetch": {key: fetch[key] for key in ("source", *keys)}}
    return {**record, **({"found": dict(found)} if found else {})}


def split_record(split: Mapping[str, Any], index: Path) -> dict[str, Any]:
    """Return the record of a split of an index."""
    return {"split": dict(split), "index_sha256": sha256(index)}


def raw_record(raw_dir: Path) -> dict[str, Any]:
    """Return the record of a folder of images; empty if it has none."""
    path = raw_dir / RECORD
    return dict(read_json(path)) if path.is_file() else {}


def data_parameters(packed_dir: Path, split_dir: Path) -> dict[str, Any]:
    """Return the parameters that made the data, by dotted key such as `pack.image_size`.

    Raises:
        UserError: the split was made from other packed images.
    """
    recorded: dict[str, Any] = {}
    if (manifest := packed_dir / "manifest.json").is_file():
        recorded |= read_json(manifest).get("parameters", {})
    if (path := split_dir / RECORD).is_file():
        document = read_json(path)
        _require_same_index(document["index_sha256"], packed_dir / "index.csv", path)
        recorded["split"] = document["split"]
    return {
        f"{section}.{key}": value
        for section, values in recorded.items()
        for key, value in values.items()
    }


def _require_same_index(split: str, index: Path, path: Path) -> None:
    if index.is_file() and (packed := sha256(index)) != split:
        raise UserError(
            f"{path.parent} was made from other packed images than {index.parent} holds",
            expected=f"{index} with SHA-256 {split}, as {path} says",
            received=f"SHA-256 {packed}",
            remedy="split again: dvc repro split",
        )
