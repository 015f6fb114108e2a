"""Plate maps: a CSV of wells and labels, joined to files whose names hold the well."""

import re
import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from hpa.data.images.csv_tables import (
    SUBCELL_COLUMNS,
    bad_table,
    read_csv,
    read_header,
    with_groups,
)
from hpa.data.images.file_names import READ_SUFFIXES, has_suffix, list_passed_over, stem_of
from hpa.data.images.path_tables import FILE_COLUMNS
from hpa.data.images.user_files import FoundImages, looked_at, walk
from hpa.data.sources.absent_channels import absent_channels
from hpa.data.sources.tables import with_labels
from hpa.data.sources.well_patterns import suggested_pattern
from hpa.errors import UserError, first_names
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary

WELL, PLATE = "well", "plate"
WELL_NAME = re.compile(r"([A-Za-z]{1,2})[\s_-]*0*([1-9]\d?)")
ROW_AND_COLUMN = re.compile(r"[Rr]0*([1-9]\d?)[Cc]0*([1-9]\d?)")
NOT_IN_MAP = "the map does not have its well"
NO_PLATE = "neither its folder nor its name is a plate of the map"
EXAMPLE = r"(?P<name>.*(?P<well>[A-P]\d+).*)_(?P<channel>[^_]+)"


def read_plate_map(
    path: Path,
    vocabulary: Vocabulary,
    *,
    pattern: str | None,
    found_as: str | None,
    may_lack: Collection[str] = (),
) -> pd.DataFrame:
    """Join a map of wells and labels to the files below its folder.

    A row has a `well` (A1, A01 and a01 are the same), and a `label` or `Target`, empty for
    unlabelled images; optionally a `group`, and a `plate`: the name of a folder, or a word in the
    names of files. Images of a well are one group; wells of two folders are two. Files that are
    not read, and wells without files, are named.

    Args:
        path: the CSV.
        vocabulary: labels and channels.
        pattern: regular expression of file names with the group well.
        found_as: words for channels in names.
        may_lack: names of channels that no file need have.

    Returns:
        One row per image: `Id` (the name of its files, after their folder if two folders have the
        same names), `Target`, `group`, `labelled`, `folder`, and a path or "" per channel.

    Raises:
        UserError: the pattern has no group well, the CSV is not such a map, or no file fits.
    """
    if not pattern or WELL not in re.compile(pattern).groupindex:
        raise UserError(
            f"{path} is a plate map, but nothing says where in the names of files the well is",
            expected="fetch.pattern: a regular expression with the group well",
            received=f"fetch.pattern: {pattern or 'null'}",
            remedy=f"set it, such as fetch.pattern: '{suggested_pattern(_files(path)) or EXAMPLE}'",
        )
    rows = _wells(path, vocabulary)
    found = FoundImages(vocabulary.channels, pattern, found_as)
    images = _join(path, rows, found, pattern)
    passed_over = list_passed_over(found.passed_over)
    if not any(cells["labelled"] for cells in images.values()):
        raise UserError(
            f"no file below {path.parent} is of a labelled well of {path.name}",
            expected=f"names that match fetch.pattern: {pattern}",
            received="; ".join(passed_over) or "no files",
            remedy="correct fetch.pattern or the wells of the map, or set fetch.found_as to the "
            "words that the pattern finds for the channels, such as 'red=w1; green=w2'",
        )
    there = {each for cells in images.values() for each in cells} | {*may_lack}
    if absent := [each for each in vocabulary.channels.names if each not in there]:
        received = "; ".join(passed_over) or "files of other channels"
        raise absent_channels(absent, vocabulary.channels, f"file of {path}", received)
    for line in passed_over:
        print(line, file=sys.stderr)
    filled = {each["line"] for each in images.values()}
    if empty := [each[WELL] for each in rows.values() if each["line"] not in filled]:
        print(
            f"wells of {path} without a file ({len(empty)}): {first_names(empty)}", file=sys.stderr
        )
    return _table(images, vocabulary)


Rows = dict[tuple[str, str], dict[Any, Any]]
"""Rows of a map by plate, in small letters, and well."""
Images = dict[tuple[Path, str], dict[Any, Any]]
"""Row of the map, default group, and path of each channel, by folder and name of an image."""


def _join(path: Path, rows: Rows, found: FoundImages, pattern: str) -> Images:
    """Find the files of the rows below the folder of a map; pass others over."""
    images: Images = defaultdict(dict)
    for file in looked_at(walk(path.parent, found.passed_over)):
        if file == path:
            continue
        parts = found.read_name(file)
        folder = file.parent.relative_to(path.parent)
        key = parts if isinstance(parts, str) else _row_of(file, folder, pattern, rows)
        if isinstance(parts, str) or isinstance(key, str):
            found.passed_over[file] = str(key)
            continue
        name, channel, first = parts
        cells = images[folder, name]
        if cells.get("line", rows[key]["line"]) != rows[key]["line"]:
            raise UserError(
                f"the image {name!r} is of two wells, {cells[WELL]} and {rows[key][WELL]}",
                expected="a pattern that gives each well images of its own",
                received=f"{file.name}, by fetch.pattern: {pattern}",
                remedy="put the well into the group name, or leave that group out",
            )
        cells |= rows[key] | {"default": _default_group(path, folder, key)}
        for each in [channel] if channel else found.channels.names:
            if cells.setdefault(each, str(first)) != str(first):
                raise UserError(
                    f"two files for the {each} channel of {name!r}",
                    expected="one file per channel; the pattern tells images of a well apart",
                    received=f"{cells[each]} and {first}",
                    remedy="add to fetch.pattern what tells them apart, in the group name or field",
                )
    return images


def is_plate_map(path: Path, channels: Channels) -> bool:
    """Tell whether a CSV has a column of wells, and none of Ids or files."""
    files = {*FILE_COLUMNS, *SUBCELL_COLUMNS, *(each.casefold() for each in channels.names)}
    columns = read_header(path, [WELL, *files])
    return WELL in columns and {"id", *files}.isdisjoint(columns)


def _files(path: Path) -> list[Path]:
    """Return the images' files below the folder of a map."""
    return [file for file in walk(path.parent, {}) if has_suffix(file, READ_SUFFIXES)]


def _wells(path: Path, vocabulary: Vocabulary) -> Rows:
    """Return the rows of a map by plate, in small letters, and well."""
    table = read_csv(path, [WELL, "Target"], ["group", PLATE])
    table = with_labels(table, path, vocabulary.labels)
    rows: Rows = {}
    for row in table.to_dict("records"):
        key = (row.get(PLATE, "").casefold(), normal_well(row[WELL]))
        if not key[1]:
            raise bad_table(path, [WELL, "label"], f"no well in line {row['line']}")
        if other := rows.get(key):
            lines = f"lines {other['line']} and {row['line']}"
            raise bad_table(path, [WELL, "label"], f"the well {row[WELL]} twice, in {lines}")
        rows[key] = row
    return rows


def normal_well(text: str) -> str:
    """Return the usual name of a well; a text that is none in small letters.

    >>> normal_well("a01"), normal_well("B - 2"), normal_well("r03c11"), normal_well("Left")
    ('A1', 'B2', 'C11', 'left')
    """
    if match := WELL_NAME.fullmatch(text):
        return f"{match[1].upper()}{match[2]}"
    if match := ROW_AND_COLUMN.fullmatch(text):
        row = int(match[1]) - 1
        return f"{'A' * (row >= 26)}{chr(ord('A') + row % 26)}{match[2]}"
    return text.casefold()


def _row_of(file: Path, folder: Path, pattern: str, rows: Rows) -> tuple[str, str] | str:
    """Return the key of a file's row, or the reason why it has none."""
    stem = stem_of(file)
    match = re.fullmatch(pattern, stem) or re.fullmatch(pattern, file.name)
    well = normal_well((match and match[WELL]) or "")
    plates = {plate for plate, _ in rows if plate}
    words = {part.casefold() for part in folder.parts}
    mine = plates & words or {
        plate
        for plate in plates
        if re.search(rf"(?<![^\W_]){re.escape(plate)}(?![^\W_])", stem.casefold())
    }
    if plates and len(mine) != 1:
        return NO_PLATE
    key = (mine.pop() if mine else "", well)
    return key if key in rows else NOT_IN_MAP


def _default_group(path: Path, folder: Path, row: tuple[str, str]) -> str:
    """Return the name of a well that differs between folders and plates."""
    plate, well = row
    parts = [path.parent.resolve().name, *folder.parts]
    named = plate and plate not in [part.casefold() for part in parts]
    return "/".join([*parts, *([plate] if named else []), well])


def _table(images: Images, vocabulary: Vocabulary) -> pd.DataFrame:
    names = [name for _, name in images]
    is_unique = len(set(names)) == len(names)
    ids = [name if is_unique else "_".join([*folder.parts, name]) for folder, name in images]
    columns = ["Target", "group", "labelled", "folder", *vocabulary.channels.names]
    rows = [{each: row.get(each, "") for each in columns} for row in images.values()]
    default = [row["default"] for row in images.values()]
    return with_groups(pd.DataFrame(rows).assign(Id=ids), default)
