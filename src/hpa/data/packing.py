"""Pack a folder of image files: decode each once, in parallel, and assemble the shards.

images.npy               uint8[N,S,S,K]; images-000.npy, images-001.npy … for large N
vocabulary.json          labels, and channels in the order of the last axis
index.csv                one row per image or tile: labels, statistics, flags, hash, CRC-32
quarantine.csv           images that could not be read and have no row: Id, path, reason
manifest.json            image size; number of images and SHA-256 of each shard; the parameters
                         of fetch and pack
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from hpa.data.images.catalogue import read_catalogue
from hpa.data.images.framing import FramingRules
from hpa.data.packed.packed_images import TILE, tile_ids
from hpa.data.packed.pixel_sizes import PACKED_SIZE, PIXEL_SIZE, with_pixel_sizes
from hpa.data.packed.record import raw_record
from hpa.data.packed.vocabulary import read_vocabulary, write_vocabulary
from hpa.data.shards import QUARANTINE_COLUMNS, PackingTask, pack_shard, plan_shard
from hpa.errors import UserError, first_names
from hpa.system.files import atomic_path, require_free_space, write_json
from hpa.system.progress import progress
from hpa.vocabulary.document import Vocabulary


def pack(
    raw_dir: Path,
    packed_dir: Path,
    *,
    image_size: int,
    shard_rows: int,
    odd_size: str = "refuse",
    framing: str = "none",
    pixel_size_um: float | None = None,
    max_unreadable_fraction: float = 0.0,
    n_jobs: int = -1,
) -> pd.DataFrame:
    """Decode every image of a folder in Kaggle's layout into `packed_dir`, and index it.

    The same files give the same bytes, whatever `n_jobs`, joblib's backend or an interruption;
    memory does not grow with N. With another joblib backend, such as Dask, the workers must see
    `raw_dir` and `packed_dir` under the same paths as this process.

    Args:
        raw_dir: the folder in Kaggle's layout.
        packed_dir: the packed folder, written whole or not at all.
        image_size: height and width S of the packed images in pixels.
        shard_rows: images per shard.
        odd_size, framing, pixel_size_um: see `FramingRules`.
        max_unreadable_fraction: largest fraction of images that may be unreadable; these get no
            row and are listed in quarantine.csv. More of them end the run.
        n_jobs: number of processes; -1 for one per core.

    Returns:
        The index, one row per image or tile in the order of the rows.

    Raises:
        UserError: the table or an image is invalid, or the disk is full.
    """
    settings = {
        "image_size": image_size,
        "shard_rows": shard_rows,
        "odd_size": odd_size,
        "framing": framing,
        "pixel_size_um": pixel_size_um,
        "max_unreadable_fraction": max_unreadable_fraction,
    }
    vocabulary = read_vocabulary(raw_dir)
    images = read_catalogue(raw_dir, vocabulary)
    known = with_pixel_sizes(images, f"the CSVs of {raw_dir}")
    parameters = {**raw_record(raw_dir), "pack": settings}
    if pixel_size_um is not None and (n_unknown := int(known[PIXEL_SIZE].isna().sum())):
        found = {**parameters.get("found", {}), "n_without_pixel_size": n_unknown}
        parameters["found"] = found
    shards_dir = packed_dir.with_name(f".shards-{packed_dir.name}")
    folders = raw_dir.absolute(), shards_dir.absolute()
    channels = vocabulary.channels.names
    rules = FramingRules(image_size, odd_size, framing, pixel_size_um)
    tasks = [
        plan_shard(known[first : first + shard_rows], *folders, channels=channels, rules=rules)
        for first in range(0, len(images), shard_rows)
    ]
    n_missing = sum(task.n_rows for task in tasks if not task.description_path.exists())
    n_bytes = n_missing * image_size**2 * len(vocabulary.channels)
    require_free_space(packed_dir.parent, n_bytes, "the packed images")
    try:
        descriptions = _pack_shards(tasks, max_unreadable_fraction, n_jobs)
        index = _assemble(packed_dir, vocabulary, images, tasks, descriptions, parameters)
    finally:
        with suppress(OSError):
            shards_dir.rmdir()  # only if it is empty
    shutil.rmtree(shards_dir, ignore_errors=True)
    cut = [line for each in descriptions for line in each["cut"]]
    for line in _remarks(known, index, cut, rules):
        print(line)
    return index


def _remarks(
    images: pd.DataFrame, index: pd.DataFrame, cut: list[str], rules: FramingRules
) -> list[str]:
    """Say what became of images that were not packed whole, one by one and to scale."""
    lines = []
    unknown = list(images["Id"][images[PIXEL_SIZE].isna()])
    if rules.odd_size == "tiles":
        lines.append(f"{len(index)} squares of {len(images)} images")
    if rules.pixel_size_um is not None and unknown:
        lines.append(
            "images without a pixel size, taken as they are instead of scaled to "
            f"{rules.pixel_size_um:g} µm: {len(unknown)} ({first_names(unknown)}); "
            "fetch.pixel_size_um states it"
        )
    if cut:
        lines.append(
            f"images larger than the network's input: {len(cut)} ({first_names(cut)}); "
            "pack.odd_size tiles would keep all of them"
        )
    return lines


def _pack_shards(
    tasks: list[PackingTask], max_unreadable_fraction: float, n_jobs: int
) -> list[dict[str, Any]]:
    """Pack the shards in parallel; stop as soon as too many images are unreadable."""
    n_images = sum(len(task.images) for task in tasks)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    packed = parallel(joblib.delayed(pack_shard)(task) for task in tasks)
    descriptions, unreadable = [], []
    with progress(what="pack", total=n_images) as bar:
        for task, description in zip(tasks, packed, strict=True):
            bar.update(len(task.images))
            descriptions.append(description)
            unreadable += [
                f"{each['path']} (Id {each['Id']}): {each['reason']}"
                for each in description["unreadable"]
            ]
            if len(unreadable) > max_unreadable_fraction * n_images:
                found = f"{len(unreadable)} or more unreadable images, first:"
                raise UserError(
                    "images cannot be read",
                    expected="whole 8-bit grey PNGs, except for at most "
                    f"{max_unreadable_fraction:g} of {n_images} images "
                    "(pack.max_unreadable_fraction)",
                    received="\n    ".join([found, *unreadable[:5]]),
                    remedy="fetch the files again or convert them, remove the images' rows from "
                    "the CSV, or raise pack.max_unreadable_fraction",
                )
    return descriptions


def _assemble(
    packed_dir: Path,
    vocabulary: Vocabulary,
    images: pd.DataFrame,
    tasks: list[PackingTask],
    descriptions: list[dict[str, Any]],
    parameters: dict[str, Any],
) -> pd.DataFrame:
    """Write the packed folder of finished shards, as hard links: a kill loses none of them."""
    measured = pd.DataFrame([row for each in descriptions for row in each["rows"]])
    if measured.get(PACKED_SIZE, pd.Series()).isna().all():
        measured = measured.drop(columns=PACKED_SIZE, errors="ignore")
    index = _named(images.merge(measured, on="Id", how="inner", validate="one_to_many"))
    unreadable = [image for each in descriptions for image in each["unreadable"]]
    quarantine = pd.DataFrame(unreadable, columns=list(QUARANTINE_COLUMNS))
    filled = [pair for pair in zip(tasks, descriptions, strict=True) if pair[1]["rows"]]
    shards = []
    with atomic_path(packed_dir) as folder:
        folder.mkdir()
        for number, (task, each) in enumerate(filled):
            name = "images.npy" if len(filled) == 1 else f"images-{number:03d}.npy"
            _link(task.pixels_path, folder / name)
            shards.append({"file": name, "n_images": len(each["rows"]), "sha256": each["sha256"]})
        index.to_csv(folder / "index.csv", index=False, float_format="%.6f")
        quarantine.to_csv(folder / "quarantine.csv", index=False)
        manifest = {
            "image_size": parameters["pack"]["image_size"],
            "n_images": len(index),
            "shards": shards,
            "parameters": parameters,
        }
        write_vocabulary(folder, vocabulary)
        write_json(folder / "manifest.json", manifest)
    return index


def _named(index: pd.DataFrame) -> pd.DataFrame:
    """Name the tiles of an image by their number, which is a column if any image is divided.

    Raises:
        UserError: another image has such a name.
    """
    names = tile_ids(index["Id"], index[TILE])
    if (double := names.duplicated(keep=False)).any():
        raise UserError(
            "tiles would have the Ids of other images",
            expected="no Id such as plate7_tile1 beside a field plate7 of several tiles",
            received=", ".join(sorted(set(names[double]))[:5]),
            remedy="rename those images",
        )
    named = index.assign(Id=names)
    return named if index[TILE].any() else named.drop(columns=TILE)


def _link(source: Path, target: Path) -> None:
    """Link a file to a second name, or copy it if the disk has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
