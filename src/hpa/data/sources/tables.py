"""Tables of a user's images: Ids, labels by number or name, and optionally groups."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import read_csv, read_labels
from hpa.errors import UserError
from hpa.vocabulary.labels import SEPARATORS, Labels


def read_table(
    path: Path, labels: Labels, columns: list[str], optional: Sequence[str]
) -> pd.DataFrame:
    """Read a CSV with `Target`, `columns`, and optionally `group` and `optional`.

    A `Target` holds label numbers or names (see `Labels.split`). An image with an empty
    `Target` is unlabelled.

    Returns:
        One row per image: the columns of the CSV, with `Target` as numbers, and `line`,
        `labelled` and `folder`.

    Raises:
        UserError: the CSV is missing, has no labelled row, or has unknown labels.
    """
    return with_labels(read_csv(path, [*columns, "Target"], ["group", *optional]), path, labels)


def with_labels(table: pd.DataFrame, path: Path, labels: Labels) -> pd.DataFrame:
    """Read the column `Target` of a table, see `read_table`; `path` names it in errors."""
    # By the cell: an image whose labels are all dropped is not unlabelled.
    table["labelled"] = table["Target"].str.contains(rf"[^\s{SEPARATORS}]")
    table["Target"] = read_labels(table, path, labels, required=False)
    if not table["labelled"].any():
        raise UserError(
            f"{path} has no labelled image",
            expected="a Target in at least one row",
            received=f"{len(table)} rows, none with a Target",
            remedy=f"fill in numbers, or names such as {'; '.join(labels.names[:2])}",
        )
    folders = {True: catalogue.LABELLED_FOLDER, False: catalogue.UNLABELLED_FOLDER}
    return table.assign(folder=table["labelled"].map(folders))
