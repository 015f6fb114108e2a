"""CSV and JSON writers of predictions, in constant memory."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from hpa.errors import UserError
from hpa.system.files import atomic_path

COLUMNS = (
    "image", "label", "present", "probability", "threshold", "rule", "label_flags", "image_flags",
)  # fmt: skip
"""Columns of the CSV, with one row per image and label."""


def check_output(path: Path) -> None:
    """Refuse a file name without a known format.

    Raises:
        UserError: the suffix is neither .csv nor .json, or it is a folder.
    """
    if path.suffix.lower() not in WRITERS or path.is_dir():
        raise UserError(
            f"--output {path} names no known format",
            expected="a file name that ends in .csv or .json",
            received="a folder" if path.is_dir() else path.suffix or "no suffix",
            remedy="name it predictions.csv or predictions.json",
        )


@contextmanager
def open_output(
    path: Path | None, *, tiles: bool = False
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that writes one document (see `Classifier.document`).

    With `tiles`, a CSV has their number. Without a path it writes nothing. The file appears when
    the block succeeds.
    """
    if path is None:
        yield lambda document: None
        return
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
        WRITERS[path.suffix.lower()](file, tiles) as write,
    ):
        yield write


def to_csv(documents: list[dict[str, Any]]) -> str:
    """Return documents as the text of a CSV."""
    text = io.StringIO(newline="")
    with _csv_writer(text, any("tiles" in document for document in documents)) as write:
        for document in documents:
            write(document)
    return text.getvalue()


@contextmanager
def _csv_writer(file: TextIO, tiles: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    columns = (*COLUMNS, *["tiles"] * tiles)
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    yield lambda document: writer.writerows(_rows(document))


def _rows(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one flat row per label."""
    for row in document["classes"]:
        yield {
            "image": _harmless(document["image"]),
            "label": _harmless(row["label"]),
            "present": int(row["present"]),
            "probability": f"{row['probability']:.10g}",  # enough to compare with the threshold
            "threshold": f"{row['threshold']:.10g}",
            "rule": row["rule"],
            "label_flags": "; ".join(row["flags"]),
            "image_flags": "; ".join(document["flags"]),
            **({"tiles": document["tiles"]} if "tiles" in document else {}),
        }


def _harmless(name: str) -> str:
    """Escape the name of an image or label that a spreadsheet would take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


@contextmanager
def _json_writer(file: TextIO, _: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Write a list, document by document."""
    before = "[\n"

    def write(document: dict[str, Any]) -> None:
        nonlocal before
        file.write(before + json.dumps(document, ensure_ascii=False, allow_nan=False))
        before = ",\n"

    yield write
    file.write("[]\n" if before == "[\n" else "\n]\n")


WRITERS = {".csv": _csv_writer, ".json": _json_writer}
