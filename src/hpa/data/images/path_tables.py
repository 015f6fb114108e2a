"""Tables of paths: a column per channel, one column of files, or those of SubCellPortable.

SubCellPortable's path_list.csv has the columns r_image (microtubules), y_image (endoplasmic
reticulum), b_image (nucleus), g_image (protein) and output_prefix; lines that begin with # are
skipped, but for the header, which may begin so too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hpa.data.images.csv_tables import SUBCELL_COLUMNS, bad_table, read_csv
from hpa.data.images.file_names import shared_name, split_name, stem_of
from hpa.errors import UserError
from hpa.vocabulary.channels import Channels

FILE_COLUMNS = ("file", "image")
"""Either names one file that holds all channels."""
PREFIX = "output_prefix"


def read_paths(
    path: Path,
    channels: Channels,
    *,
    columns: Sequence[str] = (),
    optional: Sequence[str] = (),
    protein: bool = True,
) -> pd.DataFrame:
    """Read a CSV that lists the files of images.

    The column Id names an image. A table with one column of files may do without it, as may one
    of SubCellPortable: the Id is then the `output_prefix`, or the name of the files.

    Args:
        path: the CSV.
        channels: their names are columns; a row without any may have a `file` or `image`.
        columns, optional: other columns that must, or may, occur.
        protein: whether the column of the protein must occur.

    Returns:
        A row per image: `line`, `Id`, and the columns of the CSV; those of channels have the paths
        as the CSV has them, "" for none.

    Raises:
        UserError: the file is missing or not such a CSV, or names addresses instead of files.
    """
    files = [each for each in FILE_COLUMNS if each not in channels.names]
    names = ["Id", *optional, *channels.names, *files, PREFIX, *SUBCELL_COLUMNS]
    table = read_csv(path, list(columns), names)
    if not set(channels.names) & set(table):
        table = table.rename(columns=_subcell(channels))
    has_files = not table.columns.intersection(files).empty
    has_id = has_files or "Id" in table or PREFIX in table
    needed = ["Id", channels.names[channels.protein]]
    if not has_id or (protein and not has_files and needed[1] not in table):
        missing = ", ".join(each for each in needed if each not in table)
        problem = f"missing or duplicate columns {missing} in {[*table.columns[1:]]}"
        raise bad_table(path, [*needed, *columns], problem)
    for column in table.columns.intersection(files):
        table = _fill(table, column, channels)
    _refuse_addresses(path, table, channels)
    if "Id" not in table:
        table["Id"] = [_id(row, channels) for row in table.to_dict("records")]
    return table


def _fill(table: pd.DataFrame, column: str, channels: Channels) -> pd.DataFrame:
    """Take the files of a column for all channels of the rows that have no file of a channel."""
    listed = [each for each in channels.names if each in table]
    is_whole = ~table[listed].astype(bool).any(axis=1)
    cells = {
        each: table.get(each, pd.Series("", table.index)).where(~is_whole, table[column])
        for each in channels.names
    }
    return table.assign(**cells)


def _subcell(channels: Channels) -> dict[str, str]:
    """Return the channels of SubCellPortable's columns: by their colours, else by their roles."""
    roles = {"g_image": channels.protein, "b_image": channels.nucleus}
    by_role = {column: channels.names[n] for column, n in roles.items() if n is not None}
    by_color = {each: color for each, color in SUBCELL_COLUMNS.items() if color in channels.names}
    return by_role | by_color if len(by_color) < len(SUBCELL_COLUMNS) else by_color


def _id(row: dict[Any, Any], channels: Channels) -> str:
    """Return the prefix of a row, or the part that the names of its files share."""
    if prefix := row.get(PREFIX, "").strip("_-./ "):
        return str(prefix)
    paths = [Path(row[each]) for each in channels.names if row.get(each)]
    parts = {split_name(path, channels) or (stem_of(path), None) for path in paths}
    return shared_name(sorted({name for name, _ in parts})) if parts else ""


def _refuse_addresses(path: Path, table: pd.DataFrame, channels: Channels) -> None:
    for channel in table.columns.intersection(list(channels.names)):
        found = table[table[channel].str.contains("^[a-z0-9]+://", case=False)]
        if len(found):
            raise UserError(
                f"{path} names addresses instead of files",
                expected="paths of files",
                received=f"line {found['line'].iloc[0]}: {found[channel].iloc[0]}",
                remedy="download the files and write their paths; fetch.source=hpa downloads those "
                "of the atlas",
            )
