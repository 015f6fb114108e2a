"""The table of images: which there are, what they are labelled, and whether their files exist.

The layout is Kaggle's: `train.csv` (`Id,Target` and perhaps `group`) with
`train/<Id>_{red,green,blue,yellow}.png`; `sample_submission.csv` (`Id,Predicted`) with `test/`
holds the unlabelled images, and may be absent.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.errors import UserError
from hpa.labels import CHANNELS, N_LABELS, parse_target

MAX_ID_BYTES = 200
"""With channel, suffix and the mark of a half-written file a name may have 255."""
LABELLED_CSV, LABELLED_FOLDER = "train.csv", "train"
UNLABELLED_CSV, UNLABELLED_FOLDER = "sample_submission.csv", "test"


def read_catalogue(raw_dir: Path) -> pd.DataFrame:
    """Read the table of a folder in Kaggle's layout and check it as a whole.

    Returns:
        One row an image, labelled ones first, in the order of the CSVs: `Id`, `Target` (`""`
        where unlabelled), `group` (the Id itself where the CSV has no such column),
        `labelled` (bool), `folder` (`train` or `test`).

    Raises:
        UserError: a CSV is missing, empty or lacks a column; an Id stands twice, is empty or
            leads out of its folder; a label is unknown; a channel's file is missing.
    """
    catalogue = read_tables(raw_dir)
    for folder, rows in catalogue.groupby("folder", sort=False):
        _check_files(raw_dir / str(folder), list(rows["Id"]))
    return catalogue


def read_tables(raw_dir: Path) -> pd.DataFrame:
    """Read the table of a folder as `read_catalogue` does, but look for no channel file."""
    tables = [_read_labelled(raw_dir / LABELLED_CSV)]
    if (raw_dir / UNLABELLED_CSV).is_file():
        tables.append(_read_unlabelled(raw_dir / UNLABELLED_CSV))
    catalogue = pd.concat(tables, ignore_index=True)
    check_ids(catalogue, f"the CSVs of {raw_dir}")
    return catalogue


def channel_path(folder: Path, image_id: str, channel: str) -> Path:
    """Return where a channel of an image lies."""
    return folder / f"{image_id}_{channel}.png"


def _read_labelled(path: Path) -> pd.DataFrame:
    table = read_csv(path, ["Id", "Target"], ["group"])
    if table.empty:
        raise _bad_table(path, ["Id", "Target"], "a header without rows")
    for line, image_id, target in zip(table["line"], table["Id"], table["Target"], strict=True):
        try:
            empty = not parse_target(target)
        except ValueError as error:
            raise _bad_row(path, line, image_id, str(error), target) from error
        if empty:
            raise _bad_row(path, line, image_id, "no label", target)
    if "group" not in table:
        table["group"] = table["Id"]
    table["group"] = table["group"].where(table["group"] != "", table["Id"])
    return table[["Id", "Target", "group"]].assign(labelled=True, folder=LABELLED_FOLDER)


def _read_unlabelled(path: Path) -> pd.DataFrame:
    ids = read_csv(path, ["Id"])["Id"]
    return pd.DataFrame({"Id": ids, "Target": "", "group": ids}).assign(
        labelled=False, folder=UNLABELLED_FOLDER
    )


def read_csv(path: Path, columns: list[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text, with the number of each row's `line`.

    A byte order mark, Windows line ends and blank lines are welcome. The standard library reads
    it, because pandas takes the first column of too long rows for the index, without a word.

    Args:
        path: the CSV.
        columns: names that must stand in its header, once.
        optional: names that may, once. Of other columns, those are left out that have no name of
            their own: none, one that stands twice, or `line`.

    Raises:
        UserError: the file is missing or no CSV, lacks one of `columns`, has one of them or of
            `optional` twice, or a row is longer or shorter than the header.
    """
    if not path.is_file():
        raise UserError(
            f"{path} is missing",
            expected=f"a CSV with the columns {', '.join(columns)}",
            received="no such file",
            remedy="put the images into Kaggle's layout (see README, 'Your own data')",
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            rows = [[str(reader.line_num), *row] for row in reader if _is_filled(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _bad_table(path, columns, str(error)) from error
    missing = [name for name in columns if name not in header]
    twice = [name for name in dict.fromkeys([*columns, *optional]) if header.count(name) > 1]
    if unfit := missing + twice:
        raise _bad_table(path, columns, f"not one column {', '.join(unfit)} in {header}")
    for line, *cells in rows:
        if len(cells) != len(header):
            raise _bad_table(path, columns, f"{len(cells)} cells in line {line}: {cells}")
    named = [name not in ("", "line") and header.count(name) == 1 for name in header]
    return pd.DataFrame(rows, columns=["line", *header], dtype=str).loc[:, [True, *named]]


def _is_filled(row: list[str]) -> bool:
    """Tell a row from a blank line, or one of blanks alone."""
    return len(row) > 1 or any(cell.strip() for cell in row)


def check_ids(catalogue: pd.DataFrame, place: str) -> None:
    """Refuse Ids that stand twice or could not name files; `place` is where they come from.

    Raises:
        UserError: there are such; the first five are named.
    """
    ids = catalogue["Id"]
    twice = ids[ids.duplicated()].unique()
    unsafe = [each for each in ids if each.startswith(".") or set(each) & set("/\\\0") or not each]
    long = [f"{each[:40]}…" for each in ids if len(each.encode()) > MAX_ID_BYTES]
    for found, wrong in (
        (list(twice), "an Id stands twice"),
        (unsafe, "an Id is no file name"),
        (long, f"an Id is longer than {MAX_ID_BYTES} bytes"),
    ):
        if found:
            raise UserError(
                f"{wrong} in {place}",
                expected="each Id once, over labelled and unlabelled images, fit to name files",
                received=f"{len(found)} such: {', '.join(map(repr, found[:5]))}",
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
            remedy="bring the files back, or remove their rows from the CSV",
        )


def _bad_row(path: Path, line: str, image_id: str, problem: str, target: str) -> UserError:
    return UserError(
        f"{path}, line {line}, Id {image_id!r}: {problem}",
        expected=f"label numbers from 0 to {N_LABELS - 1} separated by blanks, each once",
        received=repr(target),
        remedy="mend or remove the row",
    )


def _bad_table(path: Path, columns: list[str], received: str) -> UserError:
    return UserError(
        f"{path} is not the expected table",
        expected=f"a CSV with the columns {', '.join(columns)} and at least one row",
        received=received,
        remedy="compare it with the competition's file of that name",
    )
