"""Source `local`: PNG, TIFF or JPEG files in a folder of Kaggle's layout, or listed in a CSV."""

import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import antibodies, with_groups
from hpa.data.images.file_names import list_passed_over, reason_to_pass, split_name
from hpa.data.packed.vocabulary import FILE_NAME, read_vocabulary
from hpa.data.sources.absent_channels import absent_channels, endings_of
from hpa.data.sources.layout import ABSENT, lacking, write_layout
from hpa.data.sources.tables import read_table
from hpa.errors import UserError
from hpa.system.files import require_free_space, untracked_advice
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary

NO_ROW = "no row of the tables has its name as Id"


def fetch_local(
    raw_dir: Path,
    *,
    source_path: Path,
    vocabulary: Vocabulary,
    missing_channels: str | None = None,
    sixteen_bit_white: int | None = None,
    n_jobs: int = -1,
) -> None:
    """Copy or convert the files that a folder's tables or a CSV list; name a folder's other files.

    Args:
        raw_dir: the folder to write, in Kaggle's layout; an older one is replaced.
        source_path: a folder in that layout whose files may also be TIFF or JPEG, or a CSV with
            the columns Id, Target, optionally group, and one per channel with paths relative to
            its folder.
        vocabulary: the labels of the tables, and the channels.
        missing_channels: names of channels, such as `red yellow`: black if an image lacks them.
        sixteen_bit_white: the value of 16-bit files that maps to 255; None refuses such files.
        n_jobs: number of processes; -1 for one per core.

    Raises:
        UserError: the folder or CSV, or a file that it lists, is missing, invalid or inside
            `raw_dir`; or no file is one of the channels.
    """
    read, channels = (_read_paths if source_path.is_file() else _read_folder), vocabulary.channels
    images = read(source_path, vocabulary, (missing_channels or "").split())
    if missing := lacking(images, channels.names, missing_channels):
        others = [name for number, name in enumerate(channels.names) if number != channels.protein]
        raise UserError(
            f"channel files are missing in {source_path}",
            expected=f"a file (PNG, TIFF or JPEG) for {', '.join(channels.names)} of every image",
            received=f"{len(missing)} missing: {', '.join(f'{each}.png' for each in missing[:5])}",
            remedy="restore the files or remove their rows from the CSV"
            + (f"; fetch.missing_channels makes {' or '.join(others)} black" if others else "")
            + untracked_advice(source_path),
        )
    paths = [Path(each) for channel in channels.names for each in images[channel] if each != ABSENT]
    _refuse_inside(raw_dir, [source_path, *paths])
    n_bytes = sum(path.stat().st_size for path in paths)
    require_free_space(raw_dir.parent, n_bytes, f"the copy of {source_path}")
    write_layout(
        raw_dir,
        images,
        vocabulary,
        tinted=True,
        sixteen_bit_white=sixteen_bit_white,
        n_jobs=n_jobs,
    )


def labelled_table(source_path: Path) -> Path:
    """Return the CSV that holds the labels of a folder in Kaggle's layout, or of a CSV of paths.

    Raises:
        UserError: the path is neither.
    """
    if source_path.is_dir():
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


def _read_folder(folder: Path, vocabulary: Vocabulary, may_lack: Collection[str]) -> pd.DataFrame:
    """Read the tables of a folder in Kaggle's layout, and find the file of each channel."""
    labelled_table(folder)
    _require_same_vocabulary(folder, vocabulary)
    channels = vocabulary.channels
    images = catalogue.read_tables(folder, vocabulary.labels)
    found = {name: _files_by_channel(folder / name, channels) for name in images["folder"].unique()}
    seen = {channel for each in found.values() for _, channel in each}
    if absent := [name for name in channels.names if name not in seen and name not in may_lack]:
        raise absent_channels(
            absent, channels, f"file of {folder}", endings_of(folder, list(found))
        )
    for channel in channels.names:
        images[channel] = [
            _only_file(found[name].pop((image_id, channel), []))
            for name, image_id in zip(images["folder"], images["Id"], strict=True)
        ]
    unused = [path for each in found.values() for paths in each.values() for path in paths]
    for line in list_passed_over(
        {path: reason_to_pass(path, channels) or NO_ROW for path in unused}
    ):
        print(line, file=sys.stderr)
    return images


def _files_by_channel(folder: Path, channels: Channels) -> dict[tuple[str, str | None], list[Path]]:
    """Return the files of a folder by image name and channel; by their own name if it has none."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*")):
        found[split_name(path, channels) or (path.name, "")].append(path)
    return found


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
    table = read_table(path, vocabulary.labels, ["Id"], channels.names)
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
    missing = [
        f"line {line}: {cell}"
        for channel in channels.names
        for line, cell in zip(table["line"], table[channel], strict=True)
        if cell != ABSENT and not Path(cell).is_file()
    ]
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
