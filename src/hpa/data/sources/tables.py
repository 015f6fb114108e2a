"""A user's own table of images: Ids, labels by number or by name, perhaps groups."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpa.config import validation
from hpa.data.images import catalogue
from hpa.errors import UserError
from hpa.labels import LABELS, format_target, parse_target

NUMBERS = {name.casefold(): number for number, name in enumerate(LABELS)}


def read_table(path: Path, columns: list[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read a CSV with `Target`, `columns`, and perhaps `group` and `optional`, one row an image.

    A `Target` holds label numbers separated by blanks, or names separated by semicolons; an
    empty one makes an unlabelled image.

    Returns:
        The CSV's own columns, with `Target` in numbers, `line`, `labelled` and `folder`.

    Raises:
        UserError: no such CSV, no row with labels, or a label that is unknown.
    """
    table = catalogue.read_csv(path, [*columns, "Target"], ["group", *optional])
    targets = zip(table["line"], table["Target"], strict=True)
    table["Target"] = [_read_target(text, path, line) for line, text in targets]
    table["labelled"] = table["Target"] != ""
    if not table["labelled"].any():
        raise UserError(
            f"{path} has no labelled image",
            expected="a Target in one row at least",
            received=f"{len(table)} rows, none with a Target",
            remedy="fill in label numbers (`25 0`) or names (`Cytosol; Nucleoplasm`)",
        )
    return table.assign(
        folder=[
            catalogue.LABELLED_FOLDER if each else catalogue.UNLABELLED_FOLDER
            for each in table["labelled"]
        ]
    )


def with_groups(table: pd.DataFrame, default: list[str]) -> pd.DataFrame:
    """Carry the table's `group` along; where it is absent or empty, `default` holds."""
    given = list(table["group"]) if "group" in table else [""] * len(table)
    return table.assign(group=[own or other for own, other in zip(given, default, strict=True)])


def _read_target(text: str, path: Path, line: str) -> str:
    """Spell labels, by number or by name, as ascending numbers."""
    words = [word.strip() for word in text.split(";") if word.strip()]
    try:
        if all(word.casefold() in NUMBERS for word in words):
            numbers = [NUMBERS[word.casefold()] for word in words]
            text = " ".join(map(str, numbers))
        return format_target(parse_target(text))
    except ValueError as error:
        unknown = next((word for word in words if word.casefold() not in NUMBERS), text)
        raise UserError(
            f"{path}, line {line}: {error}",
            expected="label numbers separated by blanks, or names separated by semicolons, "
            "each once",
            received=f"{text!r}{validation.nearest(unknown, LABELS)}",
            remedy="mend or remove the row",
        ) from error
