"""Labels that `fetch.labels` names: a preset, a CSV of numbers and names, or those of a table."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpa.data.images.csv_tables import MAX_LISTED, lines_of, read_csv
from hpa.data.sources.label_map import (
    GENE_ONTOLOGY as GENE_ONTOLOGY,
)
from hpa.data.sources.label_map import (
    NUMBERS,
    WATCHED,
    LabelMap,
    normalised,
    note_unwatched,
    read_map,
)
from hpa.errors import UserError, did_you_mean, first_lines, first_names
from hpa.system.files import untracked_advice
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import MAX_LABELS, SEPARATORS, Label, Labels, plain, problems

FROM_TABLE = "from_table"
REQUIRED, OPTIONAL = ["number", "name"], ["description", "color"]


@dataclass(frozen=True)
class LabelTable:
    """Labels of a source.

    Attributes:
        path: the CSV whose column `Target` holds them; None: the competition's numbers, which mean
            the labels of hpa2018 whatever `fetch.labels` states.
        label_map: see `label_map.read_map`.
    """

    path: Path | None
    label_map: str | None = None

    @property
    def place(self) -> str:
        """Its name in messages."""
        return "the competition's labels" if self.path is None else str(self.path)

    @cached_property
    def cells(self) -> list[tuple[str, str]]:
        """Line and text of each cell."""
        if self.path is None:
            return [("0", name) for name in hpa2018.LABELS.names]
        table = read_csv(self.path, ["Target"])
        return list(zip(table["line"], table["Target"], strict=True))


def fetched_labels(stated: str, table_path: Path, label_map: str | None = None) -> Labels:
    """Return the labels of one source; see `labels_of_sources`."""
    return labels_of_sources(stated, [LabelTable(table_path, label_map)])[0]


def labels_of_sources(stated: str, tables: Sequence[LabelTable]) -> list[Labels]:
    """Return the labels that `fetch.labels` states, once for each table, which they read.

    They are the same labels, but each reads the cells of its table through the table's map.

    Args:
        stated: `hpa2018`, `from_table` (the names that occur in any table, after the maps), or the
            path of a CSV.
        tables: those of the sources.

    Raises:
        UserError: a CSV is missing or malformed, the tables' labels cannot be names, a map does
            not fit the labels, or the labels lack one of the competition's.
    """
    maps = {each.label_map: read_map(each.label_map) for each in tables}
    if stated == hpa2018.NAME:
        labels = hpa2018.LABELS
    elif stated == FROM_TABLE:
        labels = _labels_in(tables, maps)
    else:
        labels = read_labels_csv(Path(stated))
    from_table = stated == FROM_TABLE
    readers = [maps[each.label_map].reader(labels, from_table=from_table) for each in tables]
    for text, each in maps.items():
        mapped = [table for table in tables if table.label_map == text and text]
        cells = {table.place: [cell for _, cell in table.cells] for table in mapped}
        for line in each.report(cells, labels):
            print(line)
    for table, reader in zip(tables, readers, strict=True):
        if table.path is None:
            _require_known(reader, table)
    return readers


def read_labels_csv(path: Path) -> Labels:
    """Read a CSV with the columns number and name, optionally description and color, in any order.

    Raises:
        UserError: it is missing, or rows are wrong; all are listed, with their lines.
    """
    if not path.is_file():
        raise UserError(
            f"{path}, which fetch.labels names, is missing",
            expected="a CSV with the columns number and name, optionally description and color",
            received=f"no such file (from {Path.cwd()})",
            remedy=f"write it into {WATCHED}, one label per line; or set fetch.labels to "
            f"from_table, for the names that your table holds{untracked_advice(path)}",
        )
    note_unwatched(path)
    table = read_csv(path, REQUIRED, OPTIONAL)
    for column in table.columns.difference(["line", *REQUIRED, *OPTIONAL], sort=False):
        known = did_you_mean(column, [*REQUIRED, *OPTIONAL])
        print(f"{path}: the column {column} is not used{known}")
    rows = table.to_dict("records")
    labels, wrong, lines = [], [], defaultdict(list)
    for row in rows:
        label, found = _label(row)
        labels.append(label)
        wrong += [f"line {row['line']}: {each}" for each in found]
        lines[f"name {plain(label.name)!r}"].append(row["line"])
        lines[f"number {_whole(row['number'])}"].append(row["line"])
    lines.pop("number None", None)  # described for each row
    wrong += [
        f"{lines_of(each)}: the {key} is given more than once"
        for key, each in sorted(lines.items())
        if len(each) > 1
    ]
    if wrong or not 1 <= len(labels) <= MAX_LABELS:
        raise UserError(
            f"{path} is not a list of labels",
            expected=f"1 to {MAX_LABELS} rows, each number and each name once",
            received="\n    ".join([f"{len(rows)} rows", *wrong]),
            remedy="correct the lines above" if wrong else "write other rows",
        )
    return Labels(tuple(sorted(labels, key=lambda label: label.number)))


def _label(row: Mapping[Any, str]) -> tuple[Label, list[str]]:
    """Return the label of a row, and all that is wrong with it."""
    number = _whole(row["number"])
    texts = (normalised(row["name"]), normalised(row.get("description", "")))
    label = Label(number or 0, *texts, row.get("color", ""))
    not_whole = f"the number {row['number']!r} is not whole, from 0 to 999999"
    return label, [not_whole] * (number is None) + problems([label])


def _whole(text: str) -> int | None:
    """Read a whole number, as 7.0 too, as columns with gaps show it."""
    found = re.fullmatch(r"([0-9]{1,9})(\.0)?", text)
    return int(found[1]) if found else None


def _labels_in(tables: Sequence[LabelTable], maps: Mapping[str | None, LabelMap]) -> Labels:
    """Number the names that occur in the tables, in alphabetical order; list them.

    Names are separated by semicolons, bars or commas, but not by blanks. They are compared without
    regard to case, and spelled as in most cells.
    """
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        where = "" if len(tables) == 1 else f" of {table.place}"
        for line, text in table.cells:
            for name in maps[table.label_map].names(text):
                spellings[plain(name)][name] += 1
                lines[plain(name)] += [f"{line}{where}"] if table.path else []
    names = [spellings[key].most_common(1)[0][0] for key in sorted(spellings)]
    places = ", ".join(dict.fromkeys(table.place for table in tables))
    _require_names(names, lines, places)
    print(f"{len(names)} labels in {places}:")
    for number, name in enumerate(names):
        print(f"{number:>5}  {name} ({len(lines[plain(name)])} rows)")
    return Labels.named(names)


def _require_names(names: list[str], lines: Mapping[str, list[str]], places: str) -> None:
    """Refuse numbers, and texts that cannot be names; all are listed."""
    numbers = [name for name in names if NUMBERS.fullmatch(name)]
    wrong = [f"{name!r} in {lines_of(lines[plain(name)])}: a number" for name in numbers] + [
        f"{lines_of(lines[plain(name)])}: {problem}"
        for name in names
        if name not in numbers
        for problem in problems([Label(0, name)])
    ]
    if not wrong and 1 <= len(names) <= MAX_LABELS:
        return
    raise UserError(
        f"fetch.labels cannot be from_table: {places} "
        + ("holds numbers alone" if names and len(numbers) == len(names) else "does not fit"),
        expected=f"1 to {MAX_LABELS} names of labels in the column Target, separated by "
        f"{' '.join(SEPARATORS)}",
        received="\n    ".join([f"{len(names)} different ones", *first_lines(wrong, MAX_LISTED)]),
        remedy="write names; or name the numbers in a CSV with the columns number and name, "
        f"and set fetch.labels to it: {WATCHED}/labels.csv (docs/labels.md)",
    )


def _require_known(reader: Labels, table: LabelTable) -> None:
    """Refuse labels that lack one of the competition's, before it is downloaded."""
    unknown = [name for _, name in table.cells if reader.split(name)[1]]
    if unknown:
        raise UserError(
            f"fetch.labels lacks {len(unknown)} of the competition's labels",
            expected="hpa2018, from_table, or a CSV with all labels of the sources",
            received=f"without {first_names(unknown, MAX_LISTED)}",
            remedy="add them, or map them to other labels or to nothing by the label_map of this "
            "source (docs/labels.md)",
        )


def unused(labels: Labels, targets: Iterable[str]) -> str:
    """Describe the labels that no `Target` of numbers has, in a line; "" if all occur.

    >>> unused(Labels.named(["Nucleoplasm", "Cytosol"]), ["0", ""])
    '1 of 2 labels without an image (fetch.labels=from_table omits them): Cytosol'
    """
    used = {column for text in targets for column in labels.parse(text)}
    names = [name for column, name in enumerate(labels.names) if column not in used]
    if not names:
        return ""
    count = f"{len(names)} of {len(labels)} labels without an image"
    return f"{count} (fetch.labels=from_table omits them): {first_names(names, MAX_LISTED)}"
