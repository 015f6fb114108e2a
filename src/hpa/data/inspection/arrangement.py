"""Arrangement of a user's files: which images they are, and how fetch sees them.

The images are those that fetch finds, or without labels predict. If fetch refuses a table, its
error is kept, and the files are looked at as predict finds them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from glob import glob
from itertools import islice
from pathlib import Path

import pandas as pd

from hpa.config.sections import Fetch
from hpa.data.images.catalogue import LABELLED_FOLDER, UNLABELLED_FOLDER
from hpa.data.images.csv_tables import ATLAS_ID
from hpa.data.images.file_names import (
    FOLDER_SUFFIX,
    list_passed_over,
)
from hpa.data.images.opening import split_scene
from hpa.data.images.user_files import check_paths, find_images, walk
from hpa.data.inspection.channel_rules import KEYS, ChannelRule, channel_rule
from hpa.data.inspection.fetch_settings import (
    all_may_lack,
    of_channels,
    of_labels,
    shown_path,
    with_settings,
)
from hpa.data.inspection.fetched import Fetched, Table, atlas_groups, fetched_images, find_table
from hpa.data.inspection.label_counts import LabelCounts, count_labels
from hpa.data.inspection.overlay import Setting
from hpa.data.inspection.patterns import fitting_pattern, of_pattern, pattern_of_table
from hpa.data.sources.written_images import ABSENT
from hpa.errors import UserError
from hpa.vocabulary import hpa2018
from hpa.vocabulary.hpa2018 import CHANNELS

MAX_FILES = 20_000
"""Files from whose names channels are guessed."""
FOLDERS = (LABELLED_FOLDER, UNLABELLED_FOLDER)
FOLDER, TABLE, PLATE_MAP, ATLAS, FILES = (
    "a folder in Kaggle's layout",
    "a table of images",
    "a plate map",
    "a table of the public atlas, whose images fetch downloads",
    "files without a table of labels",
)


@dataclass(frozen=True)
class Arrangement:
    """Images, and the parameters of fetch by which they are found.

    Attributes:
        kind: of the place, in words.
        channels: of every image, and how they are told apart.
        images: the file of each channel that an image has, by name of the image.
        targets, groups: cells of a table, by name of the image; empty without one.
        labels: counted; None without a table.
        fetch: the parameters that read them.
        settings: those to set, with their reasons.
        passed_over: lines about files that are not read.
        problems: errors of fetch about the whole.
    """

    kind: str
    channels: ChannelRule
    images: Mapping[str, Mapping[str, Path]]
    fetch: Fetch
    targets: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    labels: LabelCounts | None = None
    settings: tuple[Setting, ...] = ()
    passed_over: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def arrange(paths: Sequence[str], fetch: Fetch, stated: Sequence[str]) -> Arrangement:
    """Find the images at some paths.

    Args:
        paths: as the user wrote them: a folder, a table, files or globs.
        fetch: the present parameters.
        stated: keys such as `fetch.channels` that the command line gives.

    Raises:
        UserError: there is nothing at a path, or no image.
    """
    check_paths(list(paths))
    with readable(paths):
        return _arranged(paths, fetch, stated)


@contextmanager
def readable(paths: Sequence[str]) -> Iterator[None]:
    """Turn a lack of permission into a mistake."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or ' '.join(paths)} cannot be read",
            expected="files and folders that you may read",
            received=str(error.strerror or error),
            remedy="change its permissions, or name another path",
        ) from error


def _arranged(paths: Sequence[str], fetch: Fetch, stated: Sequence[str]) -> Arrangement:
    table = find_table(Path(paths[0])) if len(paths) == 1 else None
    if table is None:
        return _of_files(paths, fetch, stated)
    if "Target" not in table.cells:
        return _of_files([str(table.path)], fetch, stated, table)
    return _of_atlas(table, fetch) if _is_of_atlas(table) else _of_table(table, fetch, stated)


def _of_files(
    paths: Sequence[str], fetch: Fetch, stated: Sequence[str], table: Table | None = None
) -> Arrangement:
    """Find images as predict does; a table has no labels."""
    columns, files = (table.channel_columns, table.files) if table else ((), _files(paths))
    pattern = None if table else fitting_pattern(files, fetch, stated)
    rule = _rule(columns, files, replace(fetch, pattern=pattern), stated)
    found = find_images(list(paths), rule.channels, pattern=pattern, found_as=rule.found_as)
    settings = [*of_channels(rule, fetch), *of_pattern(pattern, fetch)]
    return Arrangement(
        FILES,
        rule,
        found.images,
        with_settings(fetch, settings),
        settings=tuple(settings),
        passed_over=_shortened(list_passed_over(found.passed_over), Path(paths[0])),
    )


def _rule(
    columns: Sequence[str], files: Sequence[Path], fetch: Fetch, stated: Sequence[str]
) -> ChannelRule:
    return channel_rule(columns, files, fetch, is_stated=bool(set(KEYS) & set(stated)))


def _files(paths: Sequence[str]) -> list[Path]:
    """List files at and below paths, at most `MAX_FILES` of each."""
    files: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir() and path.suffix.lower() != FOLDER_SUFFIX:
            files += islice(walk(path, {}), MAX_FILES)
        elif split_scene(path)[0].exists():
            files.append(path)
        else:
            files += [Path(each) for each in sorted(glob(text, recursive=True))[:MAX_FILES]]  # noqa: PTH207
    return files


def _is_of_atlas(table: Table) -> bool:
    """Tell whether a table names images of the atlas, and no files."""
    cells = table.cells
    if table.file_columns or table.fetch_path.is_dir():
        return False
    ids = cells["Id"].head(100) if "Id" in cells else pd.Series(dtype=str)
    return "url" in cells or (len(ids) > 0 and bool(ids.str.fullmatch(ATLAS_ID).all()))


def _of_atlas(table: Table, fetch: Fetch) -> Arrangement:
    labels = count_labels(list(table.cells["Target"]))
    settings = [
        Setting("fetch.source", "hpa", "the table names images of the public atlas"),
        Setting("fetch.path", shown_path(table.path), f"{len(table.cells):,} rows"),
        *of_labels(labels, fetch),
        Setting("fetch.channels", hpa2018.NAME, "as the atlas has them"),
    ]
    wanted, problems = with_settings(fetch, settings), []
    groups: dict[str, str] = {}
    try:
        groups = atlas_groups(wanted)
    except UserError as error:
        problems.append(str(error))
    return Arrangement(
        ATLAS,
        ChannelRule(CHANNELS, "as the atlas has them"),
        {},
        wanted,
        targets=_cells(table, "Target"),
        groups=groups,
        labels=labels,
        settings=tuple(settings),
        problems=tuple(problems),
    )


def _of_table(table: Table, fetch: Fetch, stated: Sequence[str]) -> Arrangement:
    """Find images as fetch does; if it refuses them, as predict does."""
    files = table.files or _files([str(table.path.parent)])
    pattern = pattern_of_table(table, files, fetch, stated)
    rule = _rule(table.channel_columns, files, replace(fetch, pattern=pattern), stated)
    labels = count_labels(list(table.cells.get("Target", [])))
    settings = [
        Setting("fetch.source", "local", "files of your own"),
        Setting("fetch.path", shown_path(table.fetch_path), f"{len(table.cells):,} rows"),
        *of_labels(labels, fetch),
        *of_channels(rule, fetch),
        *of_pattern(pattern, fetch),
    ]
    wanted = with_settings(fetch, settings)
    problems: list[str] = []
    found: Fetched | None = None
    try:
        found = fetched_images(with_settings(wanted, [all_may_lack(rule)]))
        images, passed_over = _sources(found, rule), found.passed_over
    except UserError as error:
        problems.append(str(error))
        images, passed_over = _as_predict(table, rule, wanted)
    return Arrangement(
        FOLDER if table.fetch_path.is_dir() else PLATE_MAP if pattern else TABLE,
        rule,
        images,
        wanted,
        targets=found.targets if found else _cells(table, "Target"),
        groups=found.groups if found else _cells(table, "group"),
        labels=labels.of(list(found.targets.values())) if found else labels,
        settings=tuple(settings),
        passed_over=_shortened(passed_over, table.path.parent),
        problems=tuple(problems),
    )


def _sources(found: Fetched, rule: ChannelRule) -> dict[str, dict[str, Path]]:
    """Return the files of each image by channel."""
    return {
        row["Id"]: {name: Path(row[name]) for name in rule.channels.names if row[name] != ABSENT}
        for row in found.images.to_dict("records")
    }


def _as_predict(
    table: Table, rule: ChannelRule, fetch: Fetch
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Find the images of a refused table as predict does; none if that fails, too.

    Returns:
        The images, and the lines about files that are passed over.
    """
    folders = [table.fetch_path / name for name in FOLDERS]
    paths = [each for each in folders if each.is_dir()] if table.fetch_path.is_dir() else []
    images: dict[str, dict[str, Path]] = {}
    passed_over: dict[Path, str] = {}
    for path in paths or [table.fetch_path]:
        with suppress(UserError):
            found = find_images(
                [str(path)], rule.channels, pattern=fetch.pattern, found_as=rule.found_as
            )
            images |= found.images
            passed_over |= found.passed_over
    return images, list_passed_over(passed_over)


def _cells(table: Table, column: str) -> dict[str, str]:
    """Return the cells of a column by Id; none if the table has no Ids or no such column."""
    if not {"Id", column} <= set(table.cells):
        return {}
    return dict(zip(table.cells["Id"], table.cells[column], strict=True))


def _shortened(lines: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Leave the folder out of the paths in lines."""
    return tuple(line.replace(f"{folder}{os.sep}", "") for line in lines)
