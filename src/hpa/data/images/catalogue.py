"""Catalogue of the images of a folder: Ids, labels, groups, and a check that the files exist.

The layout is Kaggle's: `train.csv` (`Id,Target` and optionally `group`) with
`train/<Id>_{red,green,blue,yellow}.png`; `sample_submission.csv` (`Id,Predicted`) with `test/`
lists unlabelled images, and may be absent.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.errors import UserError
from hpa.labels import CHANNELS, N_LABELS, parse_target

MAX_ID_BYTES = 200
"""A file name may have 255 with the channel, the suffix and the prefix of temporary files."""
LABELLED_CSV, LABELLED_FOLDER = "train.csv", "train"
UNLABELLED_CSV, UNLABELLED_FOLDER = "sample_submission.csv", "test"


def read_catalogue(raw_dir: Path) -> pd.DataFrame:
    """Read and check the catalogue of a folder in Kaggle's layout.

    Returns:
        One row per image, labelled ones first, in the order of the CSVs: `Id`, `Target` (`""`
        if unlabelled), `group` (the Id itself if the CSV gives none), `labelled` (bool),
        `folder` (`train` or `test`).

    Raises:
        UserError: a CSV is missing, empty or lacks a column; an Id is duplicated, empty or not a
            file name; a label is unknown; a channel file is missing.
    """
    catalogue = read_tables(raw_dir)
    for folder, rows in catalogue.groupby("folder", sort=False):
        _check_files(raw_dir / str(folder), list(rows["Id"]))
    return catalogue


def read_tables(raw_dir: Path) -> pd.DataFrame:
    """Read the catalogue without checking that the channel files exist."""
    tables = [_read_labelled(raw_dir / LABELLED_CSV)]
    if (raw_dir / UNLABELLED_CSV).is_file():
        ids = read_csv(raw_dir / UNLABELLED_CSV, ["Id"])["Id"]
        table = pd.DataFrame({"Id": ids, "Target": "", "group": ids})
        tables.append(table.assign(labelled=False, folder=UNLABELLED_FOLDER))
    catalogue = pd.concat(tables, ignore_index=True)
    check_ids(catalogue, f"the CSVs of {raw_dir}")
    return catalogue


def channel_path(folder: Path, image_id: str, channel: str) -> Path:
    """Return the path of one channel of an image."""
    return folder / f"{image_id}_{channel}.png"


def _read_labelled(path: Path) -> pd.DataFrame:
    table = read_csv(path, ["Id", "Target"], ["group"])
    if table.empty:
        raise _bad_table(path, ["Id", "Target"], "a header without rows")
    for line, image_id, target in zip(table["line"], table["Id"], table["Target"], strict=True):
        try:
            problem = "" if parse_target(target) else "no label"
        except ValueError as error:
            problem = str(error)
        if problem:
            raise UserError(
                f"{path}, line {line}, Id {image_id!r}: {problem}",
                expected=f"label numbers from 0 to {N_LABELS - 1} separated by spaces, each once",
                received=repr(target),
                remedy="correct or remove the row",
            )
    table = with_groups(table, list(table["Id"]))[["Id", "Target", "group"]]
    return table.assign(labelled=True, folder=LABELLED_FOLDER)


def with_groups(table: pd.DataFrame, default: list[str]) -> pd.DataFrame:
    """Fill absent or empty cells of `group` from `default`."""
    given = table.get("group", default)
    return table.assign(group=[own or other for own, other in zip(given, default, strict=True)])


def read_csv(path: Path, columns: list[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text, with the number of each row's `line`.

    A byte order mark, Windows line endings and blank lines are accepted. The csv module is used
    because pandas silently takes the first column of too long rows as the index.

    Args:
        path: the CSV.
        columns: names that must occur in the header exactly once.
        optional: names that may occur once. Other columns are ignored if their name is empty,
            duplicated or `line`.

    Raises:
        UserError: the file is missing or not such a CSV, or rows differ in length from the header.
    """
    if not path.is_file():
        raise UserError(
            f"{path} is missing",
            expected=f"a CSV with the columns {', '.join(columns)}",
            received="no such file",
            remedy="arrange the images in Kaggle's layout (see README, 'Your own data')",
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            rows = [
                [str(reader.line_num), *row]
                for row in reader
                if len(row) > 1 or any(cell.strip() for cell in row)  # not a blank line
            ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _bad_table(path, columns, str(error)) from error
    invalid = [name for name in columns if name not in header]
    invalid += [name for name in dict.fromkeys([*columns, *optional]) if header.count(name) > 1]
    if invalid:
        problem = f"missing or duplicate columns {', '.join(invalid)} in {header}"
        raise _bad_table(path, columns, problem)
    for line, *cells in rows:
        if len(cells) != len(header):
            raise _bad_table(path, columns, f"{len(cells)} cells in line {line}: {cells}")
    named = [name not in ("", "line") and header.count(name) == 1 for name in header]
    return pd.DataFrame(rows, columns=["line", *header], dtype=str).loc[:, [True, *named]]


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


def _check_files(folder: Path, ids: list[str]) -> None:
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [
        path.name
        for image_id in ids
        for channel in CHANNELS
        if (path := channel_path(folder, image_id, channel)).name not in present
    ]
    if missing:
        raise UserError(
            f"channel files are missing in {folder}",
            expected=f"<Id>_{{{','.join(CHANNELS)}}}.png for each of the {len(ids)} Ids",
            received=f"{len(missing)} missing: {', '.join(missing[:5])}",
            remedy="restore the files, or remove their rows from the CSV",
        )


def _bad_table(path: Path, columns: list[str], received: str) -> UserError:
    return UserError(
        f"{path} is not the expected table",
        expected=f"a CSV with the columns {', '.join(columns)} and at least one row",
        received=received,
        remedy="compare it with the competition's file of that name",
    )
