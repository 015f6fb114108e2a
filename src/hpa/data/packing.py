"""Decode once: image files become rows of uint8 `.npy` shards, with an index beside them.

images.npy               uint8[N,S,S,4]; images-000.npy, images-001.npy … where N is large
index.csv                a row an image: labels, statistics, flags, perceptual hash, CRC-32
quarantine.csv           images that could not be read and are no rows: Id, path, reason
manifest.json            image size, rows and SHA-256 of each shard

A shard is the unit of work: it is read, packed and described by one process, and waits in a hidden
folder beside the packed one until all are done. What a killed run finished is taken over by the
next one, if its bytes still have their SHA-256.
"""

import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import joblib
import kornia_rs
import numpy as np
import pandas as pd

from hpa.data.images import decoding
from hpa.data.images.catalogue import channel_path, read_catalogue
from hpa.data.images.decoding import ODD_SIZES, UnreadableImageError, perceptual_hash, read_image
from hpa.errors import UserError
from hpa.labels import CHANNELS
from hpa.system.files import atomic_path, digest, read_json, require_free_space, sha256, write_json
from hpa.system.progress import progress

BLANK_STD = 1 / 255
"""A channel whose standard deviation is below one grey level shows nothing."""
QUARANTINE_COLUMNS = ("Id", "path", "reason")


@dataclass(frozen=True)
class Shard:
    """What one process packs: some images of the table, into `path` without suffix."""

    path: Path
    images: pd.DataFrame
    raw_dir: Path
    image_size: int
    odd_size: str

    def __len__(self) -> int:
        return len(self.images)


def pack(
    raw_dir: Path,
    packed_dir: Path,
    *,
    image_size: int,
    shard_rows: int,
    odd_size: str = "refuse",
    max_unreadable_fraction: float = 0.0,
    n_jobs: int = -1,
) -> pd.DataFrame:
    """Decode every image of a folder in Kaggle's layout into `packed_dir`, and index it.

    The same files give the same bytes, whatever `n_jobs`, joblib's backend or an interruption;
    memory does not grow with N. Under another backend of joblib, such as Dask's, its workers must
    see `raw_dir` and `packed_dir` under the same paths as this process.

    Args:
        raw_dir: the folder in Kaggle's layout.
        packed_dir: becomes the packed folder, whole or not at all.
        image_size: height and width S of the packed images in pixels.
        shard_rows: images a shard.
        odd_size: what to do with an image that is no square, a key of `ODD_SIZES`.
        max_unreadable_fraction: share of the images that may be left out of the rows and listed
            in quarantine.csv instead; one more ends the run.
        n_jobs: processes; -1 for one a core.

    Returns:
        The index, one row an image in the order of the rows.

    Raises:
        UserError: the table or an image is unfit, named with its path; or the disk is full.
    """
    images = read_catalogue(raw_dir)
    waiting_dir = packed_dir.with_name(f".shards-{packed_dir.name}")
    shards = [
        _describe_shard(
            images.iloc[first : first + shard_rows],
            raw_dir.absolute(),
            waiting_dir.absolute(),
            image_size=image_size,
            odd_size=odd_size,
        )
        for first in range(0, len(images), shard_rows)
    ]
    n_missing = sum(len(each) for each in shards if not each.path.with_suffix(".json").exists())
    require_free_space(
        packed_dir.parent, n_missing * image_size**2 * len(CHANNELS), "the packed images"
    )
    try:
        done = _pack_shards(shards, max_unreadable_fraction, n_jobs)
        index = _assemble(packed_dir, images, shards, done, image_size)
    finally:
        with suppress(OSError):
            waiting_dir.rmdir()  # only where nothing waits in it
    shutil.rmtree(waiting_dir, ignore_errors=True)
    return index


def _describe_shard(images: pd.DataFrame, raw_dir: Path, waiting_dir: Path, **rules: Any) -> Shard:
    """Name a shard by all that decides its bytes: files, rules, code, decoder and resizer.

    A file is known by its name, size and time of change, as `make` knows it.
    """
    content: list[Any] = [cv2.__version__, kornia_rs.__version__, _code_digest(), rules]
    for folder, image_id in zip(images["folder"], images["Id"], strict=True):
        for channel in CHANNELS:
            path = channel_path(raw_dir / folder, image_id, channel)
            status = path.stat()
            content.append((folder, path.name, status.st_size, status.st_mtime_ns))
    return Shard(waiting_dir / digest(content), images, raw_dir, **rules)


@cache
def _code_digest() -> list[str]:
    return [sha256(Path(file)) for file in (decoding.__file__, __file__)]


def _pack_shards(
    shards: list[Shard], max_unreadable_fraction: float, n_jobs: int
) -> list[dict[str, Any]]:
    """Pack what is not packed yet; stops as soon as too many images are unreadable."""
    n_images = sum(map(len, shards))
    tasks = (joblib.delayed(_pack_shard)(shard) for shard in shards)
    done, unreadable = [], []
    with progress(what="pack", total=n_images) as bar:
        for shard, packed in zip(
            shards, joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks), strict=True
        ):
            bar.update(len(shard))
            done.append(packed)
            unreadable += packed["unreadable"]
            if len(unreadable) > max_unreadable_fraction * n_images:
                raise _too_many_unreadable(unreadable, max_unreadable_fraction, n_images)
    return done


def _pack_shard(shard: Shard) -> dict[str, Any]:
    """Write a shard and, last, its description; or find both whole from an earlier run."""
    pixels_path, description_path = shard.path.with_suffix(".npy"), shard.path.with_suffix(".json")
    if description_path.exists():
        description: dict[str, Any] = read_json(description_path)
        if pixels_path.exists() and sha256(pixels_path) == description["sha256"]:
            return description
    cv2.setNumThreads(1)
    with atomic_path(pixels_path, flush=False) as path:
        description = _write_rows(shard, path)
        description["sha256"] = sha256(path)
    write_json(description_path, description)
    return description


def _write_rows(shard: Shard, path: Path) -> dict[str, Any]:
    """Write the readable images one after the other; NumPy leaves the header room to grow."""
    rows: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    shape = (shard.image_size, shard.image_size, len(CHANNELS))
    with path.open("wb") as file:
        _write_header(file, (len(shard), *shape))
        for folder, image_id in zip(shard.images["folder"], shard.images["Id"], strict=True):
            try:
                pixels = read_image(
                    shard.raw_dir / folder, image_id, shard.image_size, ODD_SIZES[shard.odd_size]
                )
            except UnreadableImageError as error:
                path_in_raw = str(error.path.relative_to(shard.raw_dir))
                found = (image_id, path_in_raw, error.reason)
                unreadable.append(dict(zip(QUARANTINE_COLUMNS, found, strict=True)))
                continue
            file.write(pixels.data)
            rows.append({"Id": image_id} | _describe(pixels))
        file.seek(0)
        _write_header(file, (len(rows), *shape))
    return {"rows": rows, "unreadable": unreadable}


def _write_header(file: Any, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _assemble(
    packed_dir: Path,
    images: pd.DataFrame,
    shards: list[Shard],
    done: list[dict[str, Any]],
    image_size: int,
) -> pd.DataFrame:
    """Make the packed folder of finished shards: linked, so that a kill costs none of them."""
    described = pd.DataFrame([row for each in done for row in each["rows"]])
    index = images.merge(described, on="Id", how="inner", validate="one_to_one")
    filled = [(shard, each) for shard, each in zip(shards, done, strict=True) if each["rows"]]
    listed = [
        {
            "file": "images.npy" if len(filled) == 1 else f"images-{number:03d}.npy",
            "n_images": len(each["rows"]),
            "sha256": each["sha256"],
        }
        for number, (_, each) in enumerate(filled)
    ]
    with atomic_path(packed_dir) as folder:
        folder.mkdir()
        for (shard, _), entry in zip(filled, listed, strict=True):
            _link(shard.path.with_suffix(".npy"), folder / str(entry["file"]))
        index.to_csv(folder / "index.csv", index=False, float_format="%.6f")
        unreadable = [each for shard in done for each in shard["unreadable"]]
        pd.DataFrame(unreadable, columns=list(QUARANTINE_COLUMNS)).to_csv(
            folder / "quarantine.csv", index=False
        )
        write_json(
            folder / "manifest.json",
            {"image_size": image_size, "n_images": len(index), "shards": listed},
        )
    return index


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the disk knows no hard links, copy it."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _describe(pixels: np.ndarray) -> dict[str, Any]:
    """Measure uint8[S,S,4]: means, deviations and shares of saturated pixels lie in [0,1]."""
    means, stds = (each.ravel() / 255 for each in cv2.meanStdDev(pixels))
    saturated = [float(np.mean(plane == 255)) for plane in cv2.split(pixels)]
    statistics: dict[str, Any] = {}
    for number, channel in enumerate(CHANNELS):
        statistics[f"{channel}_mean"] = float(means[number])
        statistics[f"{channel}_std"] = float(stds[number])
        statistics[f"{channel}_saturated"] = saturated[number]
    blank = [name for name, std in zip(CHANNELS, stds, strict=True) if std < BLANK_STD]
    return statistics | {
        "blank": " ".join(blank),
        "hash": perceptual_hash(pixels),
        "crc32": zlib.crc32(pixels.data),
    }


def _too_many_unreadable(
    unreadable: list[dict[str, str]], max_fraction: float, n_images: int
) -> UserError:
    first = [f"{each['path']} (Id {each['Id']}): {each['reason']}" for each in unreadable[:5]]
    return UserError(
        "images cannot be read",
        expected=f"whole 8-bit grey PNGs; pack.max_unreadable_fraction allows {max_fraction:g} of "
        f"{n_images} images to be none",
        received="\n    ".join([f"{len(unreadable)} or more that are none, first:", *first]),
        remedy="fetch the files again or convert them, remove the images' rows from the CSV, or "
        "raise pack.max_unreadable_fraction",
    )
