"""Labels that `fetch.labels` names: a preset, a CSV of numbers and names, or those of a table."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpa.data.images.csv_tables import MAX_LISTED, lines_of, read_csv
from hpa.errors import UserError, did_you_mean, first_lines, first_names
from hpa.system.files import untracked_advice
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import MAX_LABELS, SEPARATORS, Label, Labels, plain, problems

FROM_TABLE = "from_table"
REQUIRED, OPTIONAL = ["number", "name"], ["description", "color"]
WATCHED = Path("own/labels")
"""The folder in which DVC notices an edit of the labels."""
NUMBERS = re.compile(r"[-+]?\d+(\.\d*)?( [-+]?\d+(\.\d*)?)*")
GENE_ONTOLOGY = re.compile(r"\s*\(GO:[0-9]+\)$", re.I)


def fetched_labels(stated: str, table_path: Path) -> Labels:
    """Return the labels that `fetch.labels` states.

    Args:
        stated: `hpa2018`, `from_table`, or the path of a CSV.
        table_path: the CSV whose column `Target` holds the labels of the images.

    Raises:
        UserError: the CSV is missing or malformed, or the table's labels cannot be names.
    """
    if stated == hpa2018.NAME:
        return hpa2018.LABELS
    return labels_in_table(table_path) if stated == FROM_TABLE else read_labels_csv(Path(stated))


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
    if not path.resolve().is_relative_to(WATCHED.resolve()):
        print(
            f"{path} is outside {WATCHED}, the folder that DVC watches: after an edit of it, run "
            "dvc repro --force fetch"
        )
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
    texts = (_normalised(row["name"]), _normalised(row.get("description", "")))
    label = Label(number or 0, *texts, row.get("color", ""))
    not_whole = f"the number {row['number']!r} is not whole, from 0 to 999999"
    return label, [not_whole] * (number is None) + problems([label])


def _whole(text: str) -> int | None:
    """Read a whole number, as 7.0 too, as columns with gaps show it."""
    found = re.fullmatch(r"([0-9]{1,9})(\.0)?", text)
    return int(found[1]) if found else None


def labels_in_table(path: Path) -> Labels:
    """Number the names that occur in a table's column `Target`, in alphabetical order; list them.

    Names are separated by semicolons, bars or commas, but not by blanks. They are compared without
    regard to case, and spelled as in most cells.

    Raises:
        UserError: cells hold numbers, or texts that cannot be names; all are listed.
    """
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[str, list[str]] = defaultdict(list)
    for row in read_csv(path, ["Target"]).to_dict("records"):
        for word in re.split(f"[{SEPARATORS}]", row["Target"]):
            if name := GENE_ONTOLOGY.sub("", _normalised(word)):
                spellings[plain(name)][name] += 1
                lines[plain(name)].append(row["line"])
    names = [spellings[key].most_common(1)[0][0] for key in sorted(spellings)]
    numbers = [name for name in names if NUMBERS.fullmatch(name)]
    wrong = [f"{name!r} in {lines_of(lines[plain(name)])}: a number" for name in numbers] + [
        f"{lines_of(lines[plain(name)])}: {problem}"
        for name in names
        if name not in numbers
        for problem in problems([Label(0, name)])
    ]
    if wrong or not 1 <= len(names) <= MAX_LABELS:
        raise UserError(
            f"fetch.labels cannot be from_table: {path} "
            + ("holds numbers alone" if names and len(numbers) == len(names) else "does not fit"),
            expected=f"1 to {MAX_LABELS} names of labels in the column Target, separated by "
            f"{' '.join(SEPARATORS)}",
            received="\n    ".join(
                [f"{len(names)} different ones", *first_lines(wrong, MAX_LISTED)]
            ),
            remedy="write names; or name the numbers in a CSV with the columns number and name, "
            f"and set fetch.labels to it: {WATCHED}/labels.csv (docs/labels.md)",
        )
    print(f"{len(names)} labels in {path}:")
    for number, name in enumerate(names):
        print(f"{number:>5}  {name} ({len(lines[plain(name)])} rows)")
    return Labels.named(names)


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


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
