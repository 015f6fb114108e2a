"""Source `local`: PNG, TIFF or JPEG files in a folder of Kaggle's layout, or listed in a CSV."""

import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import antibodies, with_groups
from hpa.data.images.file_names import list_passed_over, reason_to_pass, split_name
from hpa.data.sources.layout import ABSENT, lacking, write_layout
from hpa.data.sources.tables import read_table
from hpa.errors import UserError
from hpa.labels import CHANNELS
from hpa.system.files import require_free_space, untracked_advice

NO_ROW = "no row of the tables has its name as Id"


def fetch_local(
    raw_dir: Path,
    *,
    source_path: Path,
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
        missing_channels: `yellow`, `red` or `red yellow`: black if an image lacks them.
        sixteen_bit_white: the value of 16-bit files that maps to 255; None refuses such files.
        n_jobs: number of processes; -1 for one per core.

    Raises:
        UserError: the folder or CSV, or a file that it lists, is missing, invalid or inside
            `raw_dir`.
    """
    images = _read_paths(source_path) if source_path.is_file() else _read_folder(source_path)
    if missing := lacking(images, missing_channels):
        raise UserError(
            f"channel files are missing in {source_path}",
            expected=f"a file (PNG, TIFF or JPEG) for {', '.join(CHANNELS)} of every image",
            received=f"{len(missing)} missing: {', '.join(f'{each}.png' for each in missing[:5])}",
            remedy="restore the files or remove their rows from the CSV; if the images have no "
            "yellow or red channel at all, fetch.missing_channels makes it black"
            f"{untracked_advice(source_path)}",
        )
    paths = [Path(each) for channel in CHANNELS for each in images[channel] if each != ABSENT]
    _refuse_inside(raw_dir, [source_path, *paths])
    n_bytes = sum(path.stat().st_size for path in paths)
    require_free_space(raw_dir.parent, n_bytes, f"the copy of {source_path}")
    write_layout(raw_dir, images, tinted=True, sixteen_bit_white=sixteen_bit_white, n_jobs=n_jobs)


def _read_folder(folder: Path) -> pd.DataFrame:
    """Read the tables of a folder in Kaggle's layout, and find the file of each channel."""
    if not folder.is_dir():
        raise UserError(
            "fetch.path is neither a folder nor a CSV",
            expected="a folder in Kaggle's layout (train.csv with train/<Id>_<channel>.png), or a "
            "CSV of paths",
            received=f"{folder} (from {Path.cwd()})",
            remedy="set it: dvc exp run -S fetch.source=local -S fetch.path=FOLDER"
            f"{untracked_advice(folder)}",
        )
    images = catalogue.read_tables(folder)
    found = {name: _files_by_channel(folder / name) for name in images["folder"].unique()}
    for channel in CHANNELS:
        images[channel] = [
            _only_file(found[name].pop((image_id, channel), []))
            for name, image_id in zip(images["folder"], images["Id"], strict=True)
        ]
    unused = [path for each in found.values() for paths in each.values() for path in paths]
    for line in list_passed_over({path: reason_to_pass(path) or NO_ROW for path in unused}):
        print(line, file=sys.stderr)
    return images


def _files_by_channel(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """Return the files of a folder by image name and channel; by their own name if it has none."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*")):
        found[split_name(path) or (path.name, "")].append(path)
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


def _read_paths(path: Path) -> pd.DataFrame:
    """Read a CSV of paths; a channel without a column is absent everywhere."""
    table = read_table(path, ["Id", "green"], CHANNELS)
    catalogue.check_ids(table, str(path))
    for channel in CHANNELS:
        cells = table.get(channel, [""] * len(table))
        table[channel] = [str(path.parent / cell) if cell else ABSENT for cell in cells]
    missing = [
        f"line {line}: {cell}"
        for channel in CHANNELS
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
