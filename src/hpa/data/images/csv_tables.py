"""Tables of images as spreadsheets and other programs save them: cells, labels and groups."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hpa.errors import UserError, first_lines
from hpa.vocabulary.labels import MAX_LABELS, SEPARATORS, Labels

DELIMITERS = (",", ";", "\t")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.I)
"""The first line by which a spreadsheet announces the delimiter."""
KAGGLE_TABLES = ("train.csv", "sample_submission.csv")
SUBCELL_COLUMNS = {"r_image": "red", "y_image": "yellow", "b_image": "blue", "g_image": "green"}
"""Columns of SubCellPortable's path_list.csv, and the channels of the competition in them."""
LABEL = "label"
"""Column that is read as `Target` if a table has a column `well` and none of that name."""
MAX_LISTED = 30
ATLAS_ID = re.compile(r"(?:ENSG\d{11}_)?(?P<antibody>\d+)_(?P<rest>\d+_[A-P]\d{1,2}_\d+(?:_\w+)?)")
"""Id of an image of the atlas, in both public spellings: 10580_1610_C1_1 (antibody, plate, well,
field; a few have more after it), or the same after the gene: ENSG00000000003_4109_24_H11_1."""


def read_csv(path: Path, columns: list[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text, with the number of each row's `line`.

    Accepted are UTF-8 and, with a byte order mark, UTF-16; commas, semicolons or tabs; any line
    endings; names of columns in any case; white space around cells; rows without content, and
    empty cells beyond the header. Two tables of other programs are read as they are: the labels of
    a plate map may be in a column `label` (see `LABEL`), and in one of SubCellPortable lines that
    begin with # are skipped. The csv module is used because pandas silently takes the first column
    of too long rows as the index.

    Args:
        path: the CSV.
        columns: names that must occur in the header exactly once.
        optional: names that may occur once. Other columns are ignored if their name is empty,
            duplicated or `line`.

    Raises:
        UserError: the file is missing or not such a CSV, or rows differ in length from the header.
    """
    rows = _read_rows(path, columns, [*columns, *optional])
    known = {name.casefold(): name for name in [*columns, *optional]} | _label_alias(rows[0][1])
    header = [known.get(name.casefold(), name) for name in rows[0][1]]
    invalid = [name for name in columns if name not in header]
    invalid += [name for name in dict.fromkeys([*columns, *optional]) if header.count(name) > 1]
    if invalid:
        problem = f"missing or duplicate columns {', '.join(invalid)} in {rows[0][1]}"
        raise bad_table(path, columns, problem)
    filled = [(line, row) for line, row in rows[1:] if any(row)]
    for line, row in filled:
        if len(row) < len(header) or any(row[len(header) :]):
            raise bad_table(path, columns, f"{len(row)} cells in line {line}: {row}")
    named = [name not in ("", "line") and header.count(name) == 1 for name in header]
    cells = [[line, *row[: len(header)]] for line, row in filled]
    return pd.DataFrame(cells, columns=["line", *header], dtype=str).loc[:, [True, *named]]


def read_header(path: Path, names: Iterable[str]) -> list[str]:
    """Return the columns of a CSV in small letters; `names`, if they occur, tell the delimiter.

    Raises:
        UserError: the file is missing or not a CSV.
    """
    rows = _read_rows(path, ["Target"], names)
    return [cell.casefold() for cell in rows[0][1]]


def _read_rows(
    path: Path, columns: Sequence[str], names: Iterable[str]
) -> list[tuple[str, list[str]]]:
    """Read the lines and cells of a CSV, the header first; errors name `columns`."""
    if not path.is_file():
        raise UserError(
            f"{path} is missing",
            expected=f"a CSV with the columns {', '.join(columns)}",
            received="no such file",
            remedy="arrange the images in Kaggle's layout (see README, 'Your own data')"
            if path.name in KAGGLE_TABLES
            else "correct the path of the table",
        )
    try:
        text, n_lines_before = _without_separator_line(_decode(path.read_bytes()))
        rows = [
            (str(number + n_lines_before), [cell.strip() for cell in row])
            for number, row in _rows(text, _delimiter(text, [*names, LABEL, "well"]))
        ]
    except (csv.Error, UnicodeError) as error:
        raise bad_table(path, columns, str(error)) from error
    rows = _without_comments(rows)
    if not rows:
        raise bad_table(path, columns, "an empty file")
    return rows


def read_labels(table: pd.DataFrame, path: Path, labels: Labels, *, required: bool) -> pd.Series:
    """Convert the column `Target`, of label numbers or names, to ascending numbers.

    Raises:
        UserError: labels are unknown or repeated, or `required` and absent; all are listed.
    """
    unknown: dict[str, list[tuple[str, str]]] = {}
    problems, targets = [], []
    for row in table.to_dict("records"):
        text = row["Target"]
        place = f"line {row['line']}" + (f", Id {row['Id']!r}" if "Id" in row else "")
        columns, words = labels.split(text)
        for word in words:
            unknown.setdefault(word, []).append((row["line"], place))
        if len(set(columns)) < len(columns):
            problems.append(f"{place}: duplicate label in {text!r}")
        if required and not re.sub(rf"[\s{SEPARATORS}]", "", text):
            problems.append(f"{place}: no label in {text!r}")
        targets.append(labels.format(columns))
    if unknown or problems:
        lacking = [
            f"{places[0][1] if len(places) == 1 else lines_of([line for line, _ in places])}: "
            f"unknown label {word!r}" + labels.advice(word)
            for word, places in sorted(unknown.items(), key=_most_first)
        ]
        raise UserError(
            f"{path} has labels that cannot be used",
            expected=f"{labels.described_numbers}, or names such as {labels.names[0]}, each once, "
            "separated by spaces, semicolons, bars, or commas within quotes",
            received="\n    ".join(
                ["", *first_lines(lacking, MAX_LABELS), *first_lines(problems, MAX_LISTED)]
            ),
            remedy="correct them, remove these labels or rows, map them by fetch.label_map (atlas: "
            "today's names of the atlas), or name your own labels by fetch.labels (docs/labels.md)",
        )
    return pd.Series(targets, index=table.index, dtype=str)


def lines_of(lines: Sequence[str]) -> str:
    """Describe the lines on which something occurs.

    >>> lines_of(["7"]), lines_of(["2", "3", "5", "8"])
    ('line 7', '4 rows, first lines 2, 3, 5')
    """
    if len(lines) == 1:
        return f"line {lines[0]}"
    return f"{len(lines)} rows, {'first ' * (len(lines) > 3)}lines {', '.join(lines[:3])}"


def with_groups(table: pd.DataFrame, default: list[str]) -> pd.DataFrame:
    """Add the column `group` of images that must not be separated.

    Images are in one group if their given `group` or their `default` (the antibody, or the Id) is
    equal, directly or through other images. A group is named after one that is given, if any. What
    was given stays in the column `stated`, "" for nothing.
    """
    parent: dict[tuple[str, bool], tuple[str, bool]] = {}

    def root(name: tuple[str, bool]) -> tuple[str, bool]:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent[above]
            name = above
        return name

    given = table.get("group", pd.Series("", index=table.index))
    for stated, antibody in zip(given, default, strict=True):
        if stated:
            parent[root((antibody, False))] = root((stated, True))
    group = [root((antibody, False))[0] for antibody in default]
    return table.assign(group=group, stated=given.fillna(""))


def antibodies(image_ids: Sequence[str]) -> list[str]:
    """Return the antibody of each Id of the atlas, and any other Id as it is.

    >>> antibodies(["10580_1610_C1_1", "ENSG00000000003_4109_24_H11_1", "cell 7"])
    ['10580', '4109', 'cell 7']
    """
    matches = [ATLAS_ID.fullmatch(image_id) for image_id in image_ids]
    return [
        match["antibody"] if match else image_id
        for match, image_id in zip(matches, image_ids, strict=True)
    ]


def bad_table(path: Path, columns: Sequence[str], received: str) -> UserError:
    """Return the error of a file that is not the expected table."""
    named = f"the columns {', '.join(columns)} and" if columns else "a header and"
    return UserError(
        f"{path} is not the expected table",
        expected=f"a CSV (UTF-8) with {named} at least one row",
        received=received,
        remedy="correct the table; a spreadsheet program saves one as 'CSV UTF-8'",
    )


def _decode(content: bytes) -> str:
    if content.startswith(b"PK\x03\x04"):
        raise UnicodeError("a spreadsheet's own format, or another zip archive")
    encodings = [name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    try:
        text = content.decode(encodings[0] if encodings else "utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnicodeError(f"not a text in UTF-8 (line {line}: {error})") from error
    if "\0" in text:
        raise UnicodeError("not a text in UTF-8 (it holds zero bytes)")
    return text


def _without_separator_line(text: str) -> tuple[str, int]:
    """Remove a first line such as `sep=;`; the header then shows the delimiter."""
    match = SEPARATOR_LINE.match(text)
    return (text[match.end() :], 1) if match else (text, 0)


def _without_comments(rows: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Drop the lines of SubCellPortable's table that begin with #, but for such a header."""
    for place, (line, row) in enumerate(rows):
        header = [row[0].lstrip("# "), *row[1:]]
        if not SUBCELL_COLUMNS.keys().isdisjoint(cell.casefold() for cell in header):
            below = [each for each in rows[place + 1 :] if not each[1][0].startswith("#")]
            return [(line, header), *below]
        if not row[0].startswith("#"):
            break
    return rows


def _label_alias(header: list[str]) -> dict[str, str]:
    """Return the column that holds the labels of a plate map without a column Target."""
    names = {name.casefold() for name in header}
    return {LABEL: "Target"} if "well" in names and "target" not in names else {}


def _delimiter(text: str, names: list[str]) -> str:
    """Return the delimiter that finds most of the columns in the header, a comma if in doubt.

    >>> _delimiter("id;target;note, if any", ["Id", "Target"])
    ';'
    """
    wanted = {name.casefold() for name in names}

    def n_found(delimiter: str) -> int:
        header = next(_rows(text, delimiter, strict=False), (1, []))[1]
        return len(wanted & {cell.strip().casefold() for cell in header})

    return max(DELIMITERS, key=n_found)


def _rows(text: str, delimiter: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with content, and their lines; errors name the line."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=strict, skipinitialspace=True
    )
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error


def _most_first(item: tuple[str, list[Any]]) -> tuple[int, str]:
    return -len(item[1]), item[0]
