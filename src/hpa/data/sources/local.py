"""Source `local`: a user's files in a folder of Kaggle's layout, listed in a CSV, or on plates."""

import os
import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import antibodies, with_groups
from hpa.data.images.file_names import READ_SUFFIXES, has_suffix, list_passed_over
from hpa.data.images.opening import split_scene
from hpa.data.images.path_tables import PREFIX, read_paths
from hpa.data.images.user_files import FoundImages, looked_at, walk
from hpa.data.packed.vocabulary import FILE_NAME, read_vocabulary
from hpa.data.sources.absent_channels import absent_channels, endings_of
from hpa.data.sources.label_map import without_dropped
from hpa.data.sources.layout import lacking
from hpa.data.sources.plate_maps import is_plate_map, read_plate_map
from hpa.data.sources.tables import with_labels
from hpa.data.sources.well_patterns import suggested_pattern
from hpa.data.sources.written_images import ABSENT
from hpa.errors import UserError, first_names
from hpa.system.files import require_free_space, untracked_advice
from hpa.vocabulary.document import Vocabulary

NO_ROW = "no row of the tables has its name as Id"


def find_local(
    source_path: Path,
    vocabulary: Vocabulary,
    *,
    missing_channels: str | None = None,
    pattern: str | None = None,
    found_as: str | None = None,
) -> pd.DataFrame:
    """Find the images that a folder's tables, a CSV or a plate map list; name other files.

    Args:
        source_path: a folder in Kaggle's layout whose files may be of any format that
            `file_names` knows; a CSV of paths (see `path_tables`) with the column Target and
            optionally group; or a plate map (see `plate_maps`).
        vocabulary: the labels of the tables, and the channels.
        missing_channels: names of channels, such as `red yellow`, that an image may lack.
        pattern, found_as: rules of names, see `file_names.split_name`.

    Returns:
        One row per image, see `write_layout`.

    Raises:
        UserError: the folder or CSV, or a file that it lists, is missing or invalid; or no file is
            one of the channels.
    """
    channels, may_lack = vocabulary.channels, (missing_channels or "").split()
    if not source_path.is_file():
        found = FoundImages(channels, pattern, found_as)
        images = _read_folder(source_path, vocabulary, found, may_lack)
    elif is_plate_map(source_path, channels):
        images = read_plate_map(
            source_path, vocabulary, pattern=pattern, found_as=found_as, may_lack=may_lack
        )
        catalogue.check_ids(images, str(source_path))
    else:
        images = _read_paths(source_path, vocabulary, may_lack)
    images = without_dropped(images, source_path)
    if missing := lacking(images, channels.names, missing_channels):
        others = [name for number, name in enumerate(channels.names) if number != channels.protein]
        raise UserError(
            f"channel files are missing in {source_path}",
            expected=f"a file for {', '.join(channels.names)} of every image, or one of all",
            received=f"{len(missing)} missing: {', '.join(f'{each}.png' for each in missing[:5])}",
            remedy="restore the files or remove their rows from the CSV"
            + (f"; fetch.missing_channels makes {' or '.join(others)} black" if others else "")
            + untracked_advice(source_path),
        )
    return images


def require_outside(
    raw_dir: Path, source_path: Path, images: pd.DataFrame, vocabulary: Vocabulary
) -> None:
    """Refuse files inside `raw_dir`, and a disk on which their copies have no room.

    Raises:
        UserError: as said.
    """
    cells = {each for channel in vocabulary.channels.names for each in images[channel]}
    paths = sorted(split_scene(Path(each))[0] for each in cells - {ABSENT})
    _refuse_inside(raw_dir, [source_path, *paths])
    require_free_space(raw_dir.parent, sum(map(_size, paths)), f"the copy of {source_path}")


def labelled_table(source_path: Path) -> Path:
    """Return the CSV that holds the labels of a folder in Kaggle's layout, or of a CSV of paths.

    Raises:
        UserError: the path is neither.
    """
    if source_path.is_dir():
        if not (source_path / catalogue.LABELLED_CSV).is_file():
            raise _no_table(source_path)
        return source_path / catalogue.LABELLED_CSV
    if not source_path.is_file():
        raise UserError(
            "fetch.path is neither a folder nor a CSV",
            expected="a folder in Kaggle's layout (train.csv with train/<Id>_<channel>.png), or a "
            "CSV of paths",
            received=f"{source_path} (from {Path.cwd()})",
            remedy="set it: dvc exp run -S fetch.source=local -S fetch.path=FOLDER"
            f"{untracked_advice(source_path)}",
        )
    return source_path


def _no_table(folder: Path) -> UserError:
    """Return the error of a folder without labels, with what to write and where."""
    files = [each for each in walk(folder, {}) if has_suffix(each, READ_SUFFIXES)]
    names = [each.name for each in files]
    example = f", such as '{pattern}'" if (pattern := suggested_pattern(files)) else ""
    tables = [str(path) for path in sorted(folder.glob("*.csv"))]
    columns = "Id, Target and file (or a column per channel), with paths relative to it"
    return UserError(
        f"{folder} holds no table of labels",
        expected=f"{catalogue.LABELLED_CSV} with the columns Id and Target, and train/ with "
        "<Id>_<channel>.png or files of all channels, <Id>.ome.tif",
        received=f"{len(names)} images' files" + (f": {first_names(names, 3)}" if names else ""),
        remedy=f"arrange them so; or set fetch.path to a CSV with the columns {columns}; or, for "
        f"plates, to a CSV in {folder} with the columns well and label, and fetch.pattern to where "
        f"the well is in the names{example} (docs/data.md)"
        + (f"; this folder has {first_names(tables, 3)}" if tables else ""),
    )


def _read_folder(
    folder: Path, vocabulary: Vocabulary, found: FoundImages, may_lack: Collection[str]
) -> pd.DataFrame:
    """Read the tables of a folder in Kaggle's layout, and find the file of each channel."""
    labelled_table(folder)
    _require_same_vocabulary(folder, vocabulary)
    channels = vocabulary.channels
    images = catalogue.read_tables(folder, vocabulary.labels)
    files = {name: _files_by_image(folder / name, found) for name in images["folder"].unique()}
    rows = list(zip(images["folder"], images["Id"], strict=True))
    listed = [files[name].pop(image_id, {}) for name, image_id in rows]
    unused = [each for images in files.values() for each in images.values()]
    seen = {channel for each in [*listed, *unused] for channel in each}
    if absent := [name for name in channels.names if name not in seen and name not in may_lack]:
        endings = endings_of(folder, list(files))
        raise absent_channels(absent, channels, f"file of {folder}", endings)
    for channel in channels.names:
        images[channel] = [_only_file(each.get(channel, [])) for each in listed]
    for path in sorted(path for each in unused for paths in each.values() for path in paths):
        found.passed_over.setdefault(path, NO_ROW)
    for line in list_passed_over(found.passed_over):
        print(line, file=sys.stderr)
    return images


def _files_by_image(folder: Path, found: FoundImages) -> dict[str, dict[str, list[Path]]]:
    """Return the files of a folder by image name and channel; pass others over."""
    files: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in looked_at(sorted(folder.glob("*"))):
        if isinstance(parts := found.read_name(path), str):
            found.passed_over[path] = parts
            continue
        name, channel, first = parts
        for each in [channel] if channel else found.channels.names:
            if first not in files[name][each]:
                files[name][each].append(first)
    return files


def _only_file(paths: list[Path]) -> str:
    if len(paths) > 1:
        raise UserError(
            f"a channel has several files in {paths[0].parent}",
            expected="one file per channel",
            received=", ".join(sorted(path.name for path in paths)),
            remedy="remove all but one",
        )
    return str(paths[0]) if paths else ABSENT


def _read_paths(path: Path, vocabulary: Vocabulary, may_lack: Collection[str]) -> pd.DataFrame:
    """Read a CSV of paths; a channel without a column is absent everywhere."""
    channels = vocabulary.channels
    table = read_paths(path, channels, columns=["Target"], optional=["group"], protein=False)
    table = with_labels(table, path, vocabulary.labels)
    if PREFIX in table:
        table["Id"] = table["Id"].str.replace("/", "_")
    empty = [name for name in channels.names if name not in table or not table[name].any()]
    if absent := [name for name in empty if name not in may_lack]:
        columns = [str(name) for name in table if name not in ("line", "labelled", "folder")]
        filled = [f"{name} (empty)" if name in empty else name for name in columns]
        found = f"the columns {', '.join(filled)}"
        raise absent_channels(absent, channels, f"column of {path}", found)
    catalogue.check_ids(table, str(path))
    for channel in channels.names:
        cells = table.get(channel, [""] * len(table))
        table[channel] = [str(path.parent / cell) if cell else ABSENT for cell in cells]
    listed = dict.fromkeys(
        (str(line), Path(cell))
        for channel in channels.names
        for line, cell in zip(table["line"], table[channel], strict=True)
        if cell != ABSENT
    )
    missing = [f"line {line}: {path}" for line, path in listed if not split_scene(path)[0].exists()]
    if missing:
        raise UserError(
            f"files listed in {path} are missing",
            expected=f"existing paths, absolute or relative to {path.parent}",
            received=f"{len(missing)} missing: {', '.join(missing[:5])}",
            remedy="correct the paths, or leave the cell of an absent channel empty"
            f"{untracked_advice(path.parent)}",
        )
    return with_groups(table, antibodies(list(table["Id"])))


def _require_same_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Refuse a folder that an earlier fetch wrote with other labels or channels."""
    if not (folder / FILE_NAME).is_file():
        return
    if difference := read_vocabulary(folder).difference(vocabulary):
        raise UserError(
            f"{folder} holds images of another vocabulary",
            expected=f"the labels and channels of {folder / FILE_NAME}",
            received=difference,
            remedy="set fetch.labels and fetch.channels to them, or remove that file if it is old",
        )


def _size(path: Path) -> int:
    """Return the bytes of a file, or of the files of a folder of OME-Zarr."""
    if not path.is_dir():
        return path.stat().st_size
    places = os.walk(path)
    return sum((Path(place) / name).stat().st_size for place, _, names in places for name in names)


def _refuse_inside(raw_dir: Path, paths: list[Path]) -> None:
    """Refuse originals inside `raw_dir`, which would be deleted with the older version."""
    folder = raw_dir.resolve()
    if inside := [path for path in paths if path.resolve().is_relative_to(folder)]:
        raise UserError(
            f"the files to copy are in {raw_dir}, which this stage replaces",
            expected=f"originals outside {folder}",
            received=f"{len(inside)} inside: {', '.join(map(str, inside[:5]))}",
            remedy="move them to another folder and set fetch.path to it, or they would be deleted",
        )
