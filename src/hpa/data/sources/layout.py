"""Write image files of any source as one folder in Kaggle's layout, whole or not at all."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.decoding import read_channel
from hpa.data.images.formats import read_grey
from hpa.data.images.headers import is_grey_png
from hpa.data.packed.vocabulary import write_vocabulary
from hpa.data.sources.fetched_labels import unused
from hpa.data.sources.png_files import write_png
from hpa.system.files import atomic_path
from hpa.system.progress import progress
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary

ABSENT = ""
"""Path of a channel that an image lacks."""


def write_layout(
    raw_dir: Path,
    images: pd.DataFrame,
    vocabulary: Vocabulary,
    *,
    tinted: bool,
    sixteen_bit_white: int | None,
    n_jobs: int = -1,
) -> None:
    """Write the images of a table in Kaggle's layout.

    An 8-bit grey PNG is copied byte for byte, and any other file is converted to one of the same
    size (see `hpa.data.images.formats`). An absent channel becomes black, in the size of
    the protein channel.

    Args:
        raw_dir: the folder to write; an older one is replaced.
        images: one row per image: the columns of `catalogue.read_catalogue`, and one per
            channel with the path of its file, or ABSENT.
        vocabulary: labels and channels of the images.
        tinted, sixteen_bit_white: see `formats.read_grey`.
        n_jobs: number of processes; -1 for one per core.

    Raises:
        UserError: a file is invalid.
    """
    if line := unused(vocabulary.labels, images["Target"]):
        print(line)
    with atomic_path(raw_dir) as folder:
        folder.mkdir()
        for name in images["folder"].unique():
            (folder / name).mkdir()
        tasks = (
            joblib.delayed(_write_image)(
                folder, row, vocabulary.channels, tinted, sixteen_bit_white
            )
            for row in images.to_dict("records")
        )
        written = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
        for _ in progress(written, what="write", total=len(images)):
            pass
        _write_tables(folder, images)
        write_vocabulary(folder, vocabulary)


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


def _write_image(
    folder: Path,
    row: dict[str, str],
    channels: Channels,
    tinted: bool,
    sixteen_bit_white: int | None,
) -> None:
    shape: tuple[int, ...] = (0, 0)
    protein = channels.channels[channels.protein]
    # The protein first: black channels take its size.
    for channel in sorted(channels.channels, key=lambda each: each != protein):
        path = catalogue.channel_path(folder / row["folder"], row["Id"], channel.name)
        if row[channel.name] == ABSENT:
            write_png(path, np.zeros(shape, np.uint8))
            continue
        source = Path(row[channel.name])
        is_copied = is_grey_png(source)
        if is_copied:
            shutil.copyfile(source, path)
        else:
            pixels = read_grey(source, channel, tinted=tinted, sixteen_bit_white=sixteen_bit_white)
            write_png(path, pixels)
        if channel == protein and ABSENT in [row[each] for each in channels.names]:
            shape = read_channel(source).shape if is_copied else pixels.shape


def _write_tables(folder: Path, images: pd.DataFrame) -> None:
    labelled = images[images["labelled"]]
    grouped = (labelled["group"] != labelled["Id"]).any()
    facts = [each for each in catalogue.FACTS if each in images]
    columns = ["Id", "Target", *["group"] * bool(grouped), *facts]
    labelled[columns].to_csv(folder / catalogue.LABELLED_CSV, index=False)
    if not images["labelled"].all():
        unlabelled = images.loc[~images["labelled"], ["Id", *facts]].assign(Predicted="0")
        unlabelled.to_csv(folder / catalogue.UNLABELLED_CSV, index=False)
