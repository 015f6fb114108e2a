"""Tables of a user's images: Ids, labels by number or name, and optionally groups."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.data.images import catalogue
from hpa.errors import UserError, did_you_mean
from hpa.labels import LABELS, format_target, parse_target

NUMBERS = {name.casefold(): number for number, name in enumerate(LABELS)}


def read_table(path: Path, columns: list[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read a CSV with `Target`, `columns`, and optionally `group` and `optional`.

    A `Target` holds label numbers separated by spaces, or names separated by semicolons. An image
    with an empty `Target` is unlabelled.

    Returns:
        One row per image: the columns of the CSV, with `Target` as numbers, and `line`,
        `labelled` and `folder`.

    Raises:
        UserError: the CSV is missing, has no labelled row, or has an unknown label.
    """
    table = catalogue.read_csv(path, [*columns, "Target"], ["group", *optional])
    targets = zip(table["line"], table["Target"], strict=True)
    table["Target"] = [_read_target(text, path, line) for line, text in targets]
    table["labelled"] = table["Target"] != ""
    if not table["labelled"].any():
        raise UserError(
            f"{path} has no labelled image",
            expected="a Target in at least one row",
            received=f"{len(table)} rows, none with a Target",
            remedy="fill in label numbers (`25 0`) or names (`Cytosol; Nucleoplasm`)",
        )
    folders = {True: catalogue.LABELLED_FOLDER, False: catalogue.UNLABELLED_FOLDER}
    return table.assign(folder=table["labelled"].map(folders))


def _read_target(text: str, path: Path, line: str) -> str:
    """Convert labels, by number or name, to ascending numbers."""
    words = [word.strip() for word in text.split(";") if word.strip()]
    unknown = [word for word in words if word.casefold() not in NUMBERS]
    try:
        if not unknown:
            text = " ".join(str(NUMBERS[word.casefold()]) for word in words)
        return format_target(parse_target(text))
    except ValueError as error:
        raise UserError(
            f"{path}, line {line}: {error}",
            expected="label numbers separated by spaces, or names separated by semicolons, "
            "each once",
            received=f"{text!r}{did_you_mean((unknown or [text])[0], LABELS)}",
            remedy="correct or remove the row",
        ) from error
