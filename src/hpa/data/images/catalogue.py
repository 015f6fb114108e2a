"""Catalogue of the images of a folder: Ids, labels, groups, and a check that the files exist.

The layout is Kaggle's: `train.csv` (`Id,Target`, optionally `group`, `source` and `pixel_size_um`)
with `train/<Id>_<channel>.png`; `sample_submission.csv` (`Id,Predicted`, optionally `source` and
`pixel_size_um`) with `test/` lists unlabelled images, and may be absent.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.data.images.csv_tables import (
    antibodies,
    bad_table,
    read_csv,
    read_labels,
    with_groups,
)
from hpa.errors import UserError
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

MAX_ID_BYTES = 200
"""A file name may have 255 with the channel, the suffix and the prefix of temporary files."""
LABELLED_CSV, LABELLED_FOLDER = "train.csv", "train"
UNLABELLED_CSV, UNLABELLED_FOLDER = "sample_submission.csv", "test"
FACTS = ("source", "pixel_size_um")
"""Optional columns of both CSVs: the name of the source, and micrometres or ""."""


def read_catalogue(raw_dir: Path, vocabulary: Vocabulary) -> pd.DataFrame:
    """Read and check the catalogue of a folder in Kaggle's layout.

    Args:
        raw_dir: the folder.
        vocabulary: its labels, by number or name in the CSVs, and its channels.

    Returns:
        One row per image, labelled ones first, in the order of the CSVs: `Id`, `Target` (`""`
        if unlabelled), `group` (that of the CSV or else the Id, and equal for all images of an
        antibody of the atlas, see `csv_tables.with_groups`), `labelled` (bool), `folder` (`train`
        or `test`), and those of `FACTS` that a CSV has, "" where it does not say.

    Raises:
        UserError: a CSV is missing, empty or lacks a column; an Id is duplicated, empty or not a
            file name; a label is unknown; a channel file is missing.
    """
    catalogue = read_tables(raw_dir, vocabulary.labels).drop(columns="stated")
    for folder, rows in catalogue.groupby("folder", sort=False):
        _check_files(raw_dir / str(folder), list(rows["Id"]), vocabulary.channels.names)
    return catalogue


def read_tables(raw_dir: Path, labels: Labels) -> pd.DataFrame:
    """Read the catalogue without checking that the channel files exist.

    The column `stated` has the group of the CSV, "" if it states none.
    """
    tables = [_read_labelled(raw_dir / LABELLED_CSV, labels)]
    if (raw_dir / UNLABELLED_CSV).is_file():
        rows = read_csv(raw_dir / UNLABELLED_CSV, ["Id"], FACTS)
        table = pd.DataFrame({"Id": rows["Id"], "Target": "", "group": rows["Id"], "stated": ""})
        table = table.assign(labelled=False, folder=UNLABELLED_FOLDER)
        tables.append(pd.concat([table, rows[[each for each in FACTS if each in rows]]], axis=1))
    catalogue = pd.concat(tables, ignore_index=True).fillna("")
    check_ids(catalogue, f"the CSVs of {raw_dir}")
    return catalogue


def channel_path(folder: Path, image_id: str, channel: str) -> Path:
    """Return the path of one channel of an image."""
    return folder / f"{image_id}_{channel}.png"


def _read_labelled(path: Path, labels: Labels) -> pd.DataFrame:
    table = read_csv(path, ["Id", "Target"], ["group", *FACTS])
    if table.empty:
        raise bad_table(path, ["Id", "Target"], "a header without rows")
    table["Target"] = read_labels(table, path, labels, required=True)
    facts = table[[each for each in FACTS if each in table]]
    table = with_groups(table, antibodies(list(table["Id"])))
    table = table[["Id", "Target", "group", "stated"]]
    return pd.concat([table.assign(labelled=True, folder=LABELLED_FOLDER), facts], axis=1)


def check_ids(catalogue: pd.DataFrame, place: str) -> None:
    """Check that Ids are unique and valid file names; `place` names their source in errors.

    Raises:
        UserError: some are not; the first five are listed.
    """
    ids = catalogue["Id"]
    duplicate = list(ids[ids.duplicated()].unique())
    unsafe = [each for each in ids if each.startswith(".") or set(each) & set("/\\\0") or not each]
    long = [f"{each[:40]}…" for each in ids if len(each.encode()) > MAX_ID_BYTES]
    for found, wrong in (
        (duplicate, "duplicate Ids"),
        (unsafe, "Ids that are not file names"),
        (long, f"Ids longer than {MAX_ID_BYTES} bytes"),
    ):
        if found:
            raise UserError(
                f"{wrong} in {place}",
                expected="valid file names, each once among labelled and unlabelled images",
                received=f"{len(found)}: {', '.join(map(repr, found[:5]))}",
                remedy="remove or rename those rows",
            )


def _check_files(folder: Path, ids: list[str], channels: Sequence[str]) -> None:
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [
        path.name
        for image_id in ids
        for channel in channels
        if (path := channel_path(folder, image_id, channel)).name not in present
    ]
    if missing:
        raise UserError(
            f"channel files are missing in {folder}",
            expected=f"<Id>_{{{','.join(channels)}}}.png for each of the {len(ids)} Ids",
            received=f"{len(missing)} missing: {', '.join(missing[:5])}",
            remedy="restore the files, or remove their rows from the CSV",
        )
