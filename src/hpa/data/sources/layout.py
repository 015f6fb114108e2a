"""Write image files of any source as one folder in Kaggle's layout, whole or not at all."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.reading import ReadingRules
from hpa.data.packed.pixel_sizes import with_pixel_sizes as with_sizes
from hpa.data.packed.vocabulary import write_vocabulary
from hpa.data.sources.found import Found, found, summary, with_pixel_sizes
from hpa.data.sources.set_percentiles import set_percentiles
from hpa.data.sources.written_images import ABSENT, write_image
from hpa.system.files import atomic_path
from hpa.system.progress import progress
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary


def write_layout(
    raw_dir: Path,
    images: pd.DataFrame,
    vocabulary: Vocabulary,
    *,
    rules: ReadingRules,
    may_lack: Collection[str] = (),
    n_jobs: int = -1,
) -> Found:
    """Write the images of a table in Kaggle's layout.

    An 8-bit grey PNG is copied byte for byte, and any other file is converted to one of the same
    size (see `hpa.data.images.reading`). An absent channel becomes black, in the size of
    the protein channel.

    Args:
        raw_dir: the folder to write; an older one is replaced.
        images: one row per image: the columns of `catalogue.read_catalogue`, and one per
            channel with the path of its file, or ABSENT. A file of several channels has its path
            in the column of each.
        vocabulary: labels and channels of the images.
        rules: of reading.
        may_lack: channels that become black if a file of several channels lacks them.
        n_jobs: number of processes; -1 for one per core.

    Returns:
        What the files held.

    Raises:
        UserError: a file, or the pixel size of an image in the table, is invalid.
    """
    checked = with_sizes(images, "the tables of fetch.path")
    rows: list[dict[str, Any]] = checked.to_dict("records")  # type: ignore[assignment]
    if rules.depth.name == "set_percentile":
        rules = _with_limits(rows, rules, n_jobs)
    with atomic_path(raw_dir) as folder:
        folder.mkdir()
        for name in images["folder"].unique():
            (folder / name).mkdir()
        tasks = (joblib.delayed(write_image)(folder, row, rules, may_lack) for row in rows)
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        written = {
            each.image_id: each
            for each in progress(parallel(tasks), what="write", total=len(images))
        }
        ordered = [written[image_id] for image_id in images["Id"]]
        write_tables(folder, with_pixel_sizes(images, ordered))
        write_vocabulary(folder, vocabulary)
    for line in summary(ordered, rules):
        print(line)
    return found(ordered, rules)


def lacking(
    images: pd.DataFrame, channels: Sequence[str], missing_channels: str | None
) -> list[str]:
    """List the absent channels, as <Id>_<channel>, that `missing_channels` does not allow."""
    allowed = (missing_channels or "").split()
    return [
        f"{image_id}_{channel}"
        for channel in channels
        if channel not in allowed
        for image_id in images["Id"][images[channel] == ABSENT]
    ]


def _with_limits(
    rows: Sequence[Mapping[str, Any]], rules: ReadingRules, n_jobs: int
) -> ReadingRules:
    files = {row["Id"]: _sources(row, rules.channels) for row in rows}
    limits = set_percentiles(files, rules, rules.depth.percentiles, n_jobs)
    return replace(rules, depth=replace(rules.depth, limits=limits))


def _sources(row: Mapping[str, Any], channels: Channels) -> dict[str, Path]:
    return {name: Path(row[name]) for name in channels.names if row[name] != ABSENT}


def write_tables(folder: Path, images: pd.DataFrame) -> None:
    """Write the CSVs of a folder in Kaggle's layout."""
    labelled = images[images["labelled"]]
    grouped = (labelled["group"] != labelled["Id"]).any()
    facts = [each for each in catalogue.FACTS if each in images]
    columns = ["Id", "Target", *["group"] * bool(grouped), *facts]
    labelled[columns].to_csv(folder / catalogue.LABELLED_CSV, index=False)
    if not images["labelled"].all():
        unlabelled = images.loc[~images["labelled"], ["Id", *facts]].assign(Predicted="0")
        unlabelled.to_csv(folder / catalogue.UNLABELLED_CSV, index=False)
