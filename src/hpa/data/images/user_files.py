"""Find a user's images for prediction: files, folders, globs and tables of paths.

An image is a file per channel, all of one folder, or one file of all channels (see `file_names`). A
file or a glob that names one of them names the image, so its answer does not depend on how it was
found.
"""

import os
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from hpa.data.images.csv_tables import bad_table
from hpa.data.images.file_names import (
    FOLDER_SUFFIX,
    HIDDEN,
    NO_CHANNEL,
    READ_SUFFIXES,
    TIFF_SUFFIXES,
    found_as_advice,
    has_suffix,
    list_passed_over,
    named,
    no_channel,
    reason_to_pass,
    shared_name,
    split_name,
    stem_of,
)
from hpa.data.images.opening import split_scene
from hpa.data.images.path_tables import read_paths
from hpa.data.images.tiff_sets import TiffGlance, glance
from hpa.errors import UserError
from hpa.system.progress import progress
from hpa.vocabulary.channels import Channels

OTHER_CAPITALS = "its name differs in capitals from an image that was named"
FORMATS = "PNG, TIFF, JPEG, OME-Zarr, CZI, ND2 or LIF"
ONE_PLANE = "one plane, and the pattern finds no channel in its name"
OTHER_ARCHIVE = "a zip file without an image of OME-Zarr"
MANY_FILES = 2000
NOT_MATCHED = "of an image that no glob matches"


@dataclass
class FoundImages:
    """Images, and files that were passed over.

    Attributes:
        channels: of every image.
        pattern, found_as: rules of names, see `file_names.split_name`.
        images: the path of each channel by image name; a file that holds all channels is the path
            of each of them.
        passed_over: the reason for each file or folder that is not read.
        named: files that the user named, themselves or by a glob: their folder, the folder to
            which the names of their images are relative, and their paths.
        globbed: folders of files that a glob names.
        sets: the files of each image that is spread over several, by each of them.
    """

    channels: Channels
    pattern: str | None = None
    found_as: str | None = None
    images: dict[str, dict[str, Path]] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)
    named: dict[tuple[Path, Path], set[Path]] = field(default_factory=dict)
    globbed: set[Path] = field(default_factory=set)
    sets: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    _seen: dict[Path, TiffGlance] = field(default_factory=dict)
    _channels: dict[Path, str | None] = field(default_factory=dict)

    def add(self, name: str, channel: str | None, path: Path) -> None:
        """Add a channel of an image, or all of them.

        Raises:
            UserError: the image has another file for this channel.
        """
        files = self.images.setdefault(name, {})
        for each in [channel] if channel else self.channels.names:
            other = files.setdefault(each, path)
            if other != path and other.resolve() != path.resolve():
                raise UserError(
                    f"two files for the {each} channel of {name!r}",
                    expected="one file per channel, or one of all channels, and a unique name for "
                    "each image",
                    received=f"{other} and {path}",
                    remedy="rename or omit one of them",
                )

    def add_file(self, path: Path, root: Path) -> None:
        """Add a file by its name, or pass it over."""
        if isinstance(found := self.read_name(path), str):
            self.passed_over[path] = found
            return
        stem, channel, first = found
        if first != path:
            self.passed_over[path] = f"a part of the image that begins with {first.name}"
        inside = path.parent.is_relative_to(root)
        folder = path.parent.relative_to(root) if inside else path.parent
        self.add(str(folder / stem), channel, first)
        self._channels[first] = channel

    def read_name(self, path: Path) -> tuple[str, str | None, Path] | str:
        """Return image name, channel and file to read of a file, or the reason to pass it over.

        A TIFF without a channel in its name is opened for a glance, once: it may be one plane, or
        belong to an image of several files.
        """
        if files := self.sets.get(path):
            first = named(files[0].name, self.channels, self.pattern, self.found_as)
            by_pattern = self.pattern and not isinstance(first, str)
            name = first[0] if by_pattern else shared_name([*map(stem_of, files)])
            return name, None, files[0]
        by_name = named(path.name, self.channels, self.pattern, self.found_as)
        is_whole = not isinstance(by_name, str) and by_name[1] is None
        if is_whole and _is_other_archive(path):
            return OTHER_ARCHIVE
        is_numbered = isinstance(by_name, str) and by_name.startswith(NO_CHANNEL)
        if not (is_whole or is_numbered) or not has_suffix(path, TIFF_SUFFIXES):
            return by_name if isinstance(by_name, str) else (*by_name, path)
        if path not in self._seen:
            self._seen[path] = glance(path)
        seen = self._seen[path]
        if seen.files:
            self.sets |= dict.fromkeys(seen.files, seen.files)
            return self.read_name(path)
        if is_whole and seen.is_one_plane and len(self.channels) > 1:
            return ONE_PLANE if self.pattern else no_channel(self.channels)
        if isinstance(by_name, str):
            return by_name if seen.n_channels == 1 else (stem_of(path), None, path)
        return (*by_name, path)

    def add_named_file(self, path: Path, root: Path) -> None:
        """Add a file that stands for its image."""
        self.add_file(path, root)
        self.named.setdefault((path.parent, root), set()).add(path)

    def pass_over_others(self) -> None:
        """Where files name the one channel of the images, pass over files that name none."""
        naming = {path.parent for path, channel in self._channels.items() if channel}
        for name, files in list(self.images.items()):
            path = next(iter(files.values()))
            if path.parent in naming and self._channels.get(path, "") is None:
                self.passed_over[path] = no_channel(self.channels)
                del self.images[name]


def _is_other_archive(path: Path) -> bool:
    """Return whether a zip file, unless named as one of OME-Zarr, holds none."""
    if path.suffix.lower() != ".zip" or ".zarr" in path.name.lower():
        return False
    try:
        with ZipFile(path) as archive:
            names = {PurePosixPath(name).name for name in archive.namelist()}
    except (OSError, BadZipFile):
        return True
    return names.isdisjoint((".zattrs", "zarr.json"))


def check_paths(paths: list[str]) -> None:
    """Refuse paths that are not there, whatever the channels: at once, before a model is opened.

    Raises:
        UserError: a path does not exist, or a glob matches nothing.
    """
    for text in paths:
        is_there = split_scene(Path(text))[0].exists()
        if not is_there and not (has_magic(text) and glob(text, recursive=True)):  # noqa: PTH207
            raise _nothing_at(text, "", "<name>_<channel>")


def find_images(
    paths: list[str],
    channels: Channels,
    *,
    pattern: str | None = None,
    found_as: str | None = None,
) -> FoundImages:
    """Find images in files, folders, globs and CSVs.

    Folders are searched recursively, and their images named by relative path; a folder `x.zarr` is
    one image. A file or a glob stands for the whole image: its other channels are taken from the
    same folder. `x.lif#3` is the third scene of a file. CSVs are those of `path_tables`.

    Args:
        paths: as the user wrote them.
        channels: those of the model.
        pattern, found_as: rules of names, see `file_names.split_name`.

    Raises:
        UserError: a path matches no image, the name of a file is not that of an image, or two
            images have the same name.
    """
    found = FoundImages(channels, pattern, found_as)
    for text in paths:
        path = Path(text)
        if field_name := _field_name(path):
            found.add(field_name, None, path)
        elif path.is_dir() and path.suffix.lower() != FOLDER_SUFFIX:
            _add_folder(found, path, path)
        elif path.suffix.lower() == ".csv" and not _is_glob(text):
            _add_table(found, path)
        elif _is_glob(text):
            _add_glob(found, text)
        else:
            _add_named(found, path)
    _add_siblings(found)
    if len(channels) == 1:
        found.pass_over_others()
    if not found.images:
        raise _not_found(" ".join(paths), found)
    return found


def _is_glob(text: str) -> bool:
    return has_magic(text) and not split_scene(Path(text))[0].exists()


def _add_folder(found: FoundImages, folder: Path, root: Path) -> None:
    for path in looked_at(walk(folder, found.passed_over)):
        found.add_file(path, root)


def _field_name(path: Path) -> str | None:
    """Return the name of an image inside an OME-Zarr, such as a plate's field; None for others.

    `plate7.ome.zarr/B/3/0` is the image `plate7/B/3/0`.
    """
    outer = next((each for each in path.parents if each.suffix.lower() == FOLDER_SUFFIX), None)
    if outer is None or not path.is_dir():
        return None
    return f"{stem_of(outer)}/{path.relative_to(outer)}"


def walk(folder: Path, passed_over: dict[Path, str]) -> Iterator[Path]:
    """Yield the files below a folder, but not in folders that are hidden, links or locked.

    A folder `x.zarr` is yielded like a file.
    """
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or path.suffix.lower() == FOLDER_SUFFIX:
            yield path
        elif path.name.startswith("."):
            passed_over[path] = HIDDEN
        elif path.is_symlink():
            passed_over[path] = "a link to a folder"
        elif not os.access(path, os.R_OK | os.X_OK):
            passed_over[path] = "a folder without permission to read it"
        else:
            yield from walk(path, passed_over)


def looked_at(paths: Iterable[Path]) -> Iterable[Path]:
    """Show progress where there are many files, as headers on a network drive take a while."""
    files = list(paths)
    if len(files) < MANY_FILES:
        return files
    return progress(files, what="look", unit="file", leave=False)


def _add_table(found: FoundImages, path: Path) -> None:
    rows = read_paths(path, found.channels).to_dict("records")
    if not rows:
        raise bad_table(path, ["Id"], "a header without rows")
    for row in rows:
        if not row["Id"]:
            raise bad_table(path, ["Id"], f"no Id in line {row['line']}")
        for channel in found.channels.names:
            if row.get(channel):
                found.add(row["Id"], channel, path.parent / row[channel])


def _add_glob(found: FoundImages, text: str) -> None:
    matches = [Path(each) for each in sorted(glob(text, recursive=True))]  # noqa: PTH207
    inside = f"{FOLDER_SUFFIX}/"
    if inside not in text.lower():  # what ** finds inside an image is none
        matches = [path for path in matches if inside not in f"{path}".lower()]
    if not matches:
        raise _not_found(text, found)
    for path in matches:
        if field_name := _field_name(path):
            found.add(field_name, None, path)
        elif path.is_dir() and path.suffix.lower() != FOLDER_SUFFIX:
            _add_folder(found, path, Path())
        else:
            found.add_named_file(path, Path())
            found.globbed.add(path.parent)


def _add_named(found: FoundImages, path: Path) -> None:
    if not split_scene(path)[0].exists():
        raise _not_found(str(path), found)
    if isinstance(reason := found.read_name(path), str):
        names = ", ".join(found.channels.names)
        beside = [path, *path.parent.iterdir()] if found_as_advice([path]) else []
        raise UserError(
            f"{path} is not one channel of an image, nor an image of several channels",
            expected=f"<name>_<channel> with {names}, or one file of all channels: {FORMATS}",
            received=f"{path.name} ({reason})",
            remedy="rename it, list files and channels in a CSV"
            f"{_other_rules(found)}{found_as_advice(beside)}",
        )
    found.add_named_file(path, path.parent)


def _add_siblings(found: FoundImages) -> None:
    """Complete the images of named files by the other channels in their folders.

    Names that are almost those of the images are passed over, and beside the matches of a glob
    all other pictures.
    """
    read = {path for channels in found.images.values() for path in channels.values()}
    rules = {"pattern": found.pattern, "found_as": found.found_as}
    for (folder, root), files in found.named.items():
        own = {parts: path for path in files if (parts := _name_of(found, path))}
        stems = {stem for stem, _ in own}
        folded = {stem.casefold() for stem in stems}
        done = files | read | set(found.passed_over) | set(found.sets)
        for path in sorted(set(folder.iterdir()) - done):
            parts = split_name(path, found.channels, **rules)
            is_near = (not parts or not parts[1]) and _starts_with(path, stems)
            if parts and parts in own:
                found.passed_over[path] = f"{own[parts].name} was named"
            elif parts and parts[0] in stems:
                found.add_file(path, root)
            elif is_near and isinstance(reason := found.read_name(path), str):
                found.passed_over[path] = reason
            elif parts and parts[0].casefold() in folded:
                found.passed_over[path] = OTHER_CAPITALS
            elif folder in found.globbed and has_suffix(path, READ_SUFFIXES):
                found.passed_over[path] = (
                    reason_to_pass(path, found.channels, **rules) or NOT_MATCHED
                )


def _name_of(found: FoundImages, path: Path) -> tuple[str, str | None] | None:
    """Return image name and channel of a named file; None if it is passed over."""
    parts = found.read_name(path)
    return None if isinstance(parts, str) else parts[:2]


def _starts_with(path: Path, stems: Set[str]) -> bool:
    """Return whether the name of a picture begins with a stem, but for signs of a hidden file."""
    name = path.name.lstrip("._")
    starts = {name[:end] for end in range(1, len(name))}
    return has_suffix(path, READ_SUFFIXES) and not stems.isdisjoint(starts)


def _not_found(text: str, found: FoundImages) -> UserError:
    names = found.channels.names
    passed_over = "; ".join(list_passed_over(found.passed_over))
    expected = (
        f"<name>_{{{','.join(names)}}}, files of all channels such as <name>.ome.tif, or a CSV "
        f"with the columns Id, {', '.join(names)}"
    )
    advice = f", rename the files{_other_rules(found)}" if passed_over else ""
    return _nothing_at(text, passed_over, expected, advice)


def _other_rules(found: FoundImages) -> str:
    """Return how to read other names; a pattern may be that of training."""
    if not found.pattern:
        return ", or set serve.found_as or serve.pattern to how they name channels (docs/data.md)"
    names = "|".join(map(re.escape, found.channels.names))
    return f", or set serve.pattern, such as '(?P<name>.+)_(?P<channel>{names})'"


def _nothing_at(text: str, passed_over: str, expected: str, remedy: str = "") -> UserError:
    return UserError(
        f"there is no image at {text}",
        expected=f"files, folders, globs or a CSV of {FORMATS}: {expected}",
        received=passed_over or f"no such files (from {Path.cwd()})",
        remedy=f"check the path{remedy}",
    )
