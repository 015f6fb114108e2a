"""Tables of images as fetch reads them, and their cells even if fetch refuses them."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hpa.config.folders import RAW_DIR
from hpa.config.params import fetched_channels
from hpa.config.sections import Fetch
from hpa.data.images import catalogue
from hpa.data.images.csv_tables import SUBCELL_COLUMNS, read_csv
from hpa.data.images.file_names import READ_SUFFIXES, has_suffix
from hpa.data.images.path_tables import FILE_COLUMNS
from hpa.data.sources.atlas import find_atlas
from hpa.data.sources.fetched_labels import fetched_labels
from hpa.data.sources.local import find_local, labelled_table, require_outside
from hpa.errors import UserError
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS

KNOWN = ("Id", "Target", "group", "url", "well", "label", *catalogue.FACTS)
"""Columns of tables of images; by them the delimiter is found, and a folder's table."""
MAX_TABLES = 20
SAID = ("passed over", "dropped")
"""Beginnings of lines of fetch that are findings."""


@dataclass(frozen=True, eq=False)
class Table:
    """Table of images.

    Attributes:
        path: of the CSV.
        fetch_path: that fetch is given: the CSV, or the folder in Kaggle's layout.
        cells: its rows, as text.
        file_columns: columns that hold the names of files, one per channel.
    """

    path: Path
    fetch_path: Path
    cells: pd.DataFrame
    file_columns: tuple[str, ...]

    @property
    def channel_columns(self) -> tuple[str, ...]:
        """Columns that name channels."""
        if set(SUBCELL_COLUMNS) & set(self.file_columns):
            return CHANNELS.names
        return tuple(each for each in self.file_columns if each not in FILE_COLUMNS)

    @property
    def files(self) -> list[Path]:
        """Files of all channels that it lists."""
        columns = [each for each in self.file_columns if each in FILE_COLUMNS]
        cells = dict.fromkeys(text for each in columns for text in self.cells[each] if text)
        return [self.path.parent / text for text in cells]


def find_table(path: Path) -> Table | None:
    """Return the table of a CSV, a folder in Kaggle's layout, or a folder with one table.

    Raises:
        UserError: a CSV is malformed, or a folder holds several tables.
    """
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        is_layout = path.name == catalogue.LABELLED_CSV and _has_layout(path.parent)
        return _read(path, path.parent if is_layout else path)
    if not path.is_dir():
        return None
    if (path / catalogue.LABELLED_CSV).is_file():
        return _read(path / catalogue.LABELLED_CSV, path)
    found = [each for each in sorted(path.glob("*.csv"))[:MAX_TABLES] if _is_table(each)]
    if len(found) > 1:
        raise UserError(
            f"{path} holds several tables of images",
            expected="one",
            received=", ".join(each.name for each in found),
            remedy=f"name the one to inspect: {found[0]}",
        )
    return _read(found[0], found[0]) if found else None


def _has_layout(folder: Path) -> bool:
    return (folder / catalogue.LABELLED_FOLDER).is_dir()


def _is_table(path: Path) -> bool:
    try:
        columns = {str(each).casefold() for each in read_csv(path, [], KNOWN)}
    except UserError:
        return False
    wanted = {"id", "target", "url", "well", "label", *FILE_COLUMNS, *SUBCELL_COLUMNS}
    return bool(columns & wanted) and not {"number", "name"} <= columns


def _read(path: Path, fetch_path: Path) -> Table:
    cells = read_csv(path, [], KNOWN)
    others = [str(each) for each in cells if each not in (*KNOWN, "line")]
    names_files = [each for each in others if _names_files(cells[each])]
    return Table(path, fetch_path, cells, tuple(names_files))


def _names_files(cells: pd.Series) -> bool:
    filled = [text for text in cells if text][:3]
    return bool(filled) and all(has_suffix(Path(text), READ_SUFFIXES) for text in filled)


@dataclass(frozen=True, eq=False)
class Fetched:
    """Images as fetch finds them.

    Attributes:
        images: a row per image, with the columns of `layout.write_layout`.
        targets: names of the labels of each image, "" if it is unlabelled.
        groups: of each image.
        passed_over: lines about files that are not read.
    """

    images: pd.DataFrame
    targets: dict[str, str]
    groups: dict[str, str]
    passed_over: list[str]


def fetched_images(fetch: Fetch) -> Fetched:
    """Find the images of a table as fetch does, without writing any.

    Raises:
        UserError: fetch refuses them.
    """
    said = io.StringIO()
    path = Path(fetch.path)
    with redirect_stdout(said), redirect_stderr(said):
        labels = fetched_labels(fetch.labels, labelled_table(path), fetch.label_map)
        vocabulary = Vocabulary(labels, fetched_channels(fetch.channels))
        images = find_local(
            path,
            vocabulary,
            missing_channels=fetch.missing_channels,
            pattern=fetch.pattern,
            found_as=fetch.found_as,
        )
        if RAW_DIR.parent.is_dir():  # it would be made, but nothing is to be written
            require_outside(RAW_DIR, path, images, vocabulary)
    named = [
        "; ".join(labels.names[column] for column in labels.parse(text))
        for text in images["Target"]
    ]
    return Fetched(
        images,
        dict(zip(images["Id"], named, strict=True)),
        dict(zip(images["Id"], images["group"], strict=True)),
        [line for line in said.getvalue().splitlines() if line.startswith(SAID)],
    )


def atlas_groups(fetch: Fetch) -> dict[str, str]:
    """Return the group of each image of a table of the atlas; nothing is downloaded.

    Raises:
        UserError: fetch refuses the table.
    """
    path = Path(fetch.path)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        labels = fetched_labels(fetch.labels, path, fetch.label_map)
        images = find_atlas(path, labels, fetch.base_url)
    return dict(zip(images["Id"], images["group"], strict=True))
