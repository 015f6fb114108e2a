"""Find a user's images for prediction: files, folders, globs and tables of paths.

An image is a file per channel, all of one folder (see `file_names`). A file or a glob that names
one of them names the image, so its answer does not depend on how it was found.
"""

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from hpa.data.images.csv_tables import bad_table, read_csv
from hpa.data.images.file_names import HIDDEN, list_passed_over, reason_to_pass, split_name
from hpa.data.images.formats import SUFFIXES
from hpa.errors import UserError
from hpa.vocabulary.channels import Channels

OTHER_CAPITALS = "its name differs in capitals from an image that was named"
NOT_MATCHED = "of an image that no glob matches"


@dataclass
class FoundImages:
    """Images, and files that were passed over.

    Attributes:
        channels: of every image.
        images: the path of each channel by image name.
        passed_over: the reason for each file or folder that is not read.
        named: files that the user named, themselves or by a glob: their folder, the folder to
            which the names of their images are relative, and their paths.
        globbed: folders of files that a glob names.
    """

    channels: Channels
    images: dict[str, dict[str, Path]] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)
    named: dict[tuple[Path, Path], set[Path]] = field(default_factory=dict)
    globbed: set[Path] = field(default_factory=set)

    def add(self, name: str, channel: str, path: Path) -> None:
        """Add a channel of an image.

        Raises:
            UserError: the image has another file for this channel.
        """
        other = self.images.setdefault(name, {}).setdefault(channel, path)
        if other.resolve() != path.resolve():
            raise UserError(
                f"two files for the {channel} channel of {name!r}",
                expected="one file per channel, and a unique name for each image",
                received=f"{other} and {path}",
                remedy="rename or omit one of them",
            )

    def add_file(self, path: Path, root: Path) -> None:
        """Add a file by its name, or pass it over."""
        if parts := split_name(path, self.channels):
            stem, channel = parts
            inside = path.parent.is_relative_to(root)
            folder = path.parent.relative_to(root) if inside else path.parent
            self.add(str(folder / stem), channel, path)
        else:
            self.passed_over[path] = str(reason_to_pass(path, self.channels))

    def add_named_file(self, path: Path, root: Path) -> None:
        """Add a file that stands for its image."""
        self.add_file(path, root)
        self.named.setdefault((path.parent, root), set()).add(path)


def check_paths(paths: list[str]) -> None:
    """Refuse paths that are not there, whatever the channels: at once, before a model is opened.

    Raises:
        UserError: a path does not exist, or a glob matches nothing.
    """
    for text in paths:
        if not Path(text).exists() and not (has_magic(text) and glob(text, recursive=True)):  # noqa: PTH207
            raise _nothing_at(text, "", "<name>_<channel>")


def find_images(paths: list[str], channels: Channels) -> FoundImages:
    """Find images in files, folders, globs and CSVs.

    Folders are searched recursively, and their images named by relative path. A file or a glob
    stands for the whole image: its other channels are taken from the same folder. A CSV has the
    columns Id, that of the protein channel and optionally the others, with paths relative to its
    folder.

    Raises:
        UserError: a path matches no image, the name of a file does not end in a channel, or two
            images have the same name.
    """
    found = FoundImages(channels)
    for text in paths:
        path = Path(text)
        if path.is_dir():
            _add_folder(found, path, path)
        elif path.suffix.lower() == ".csv" and not _is_glob(text):
            _add_table(found, path)
        elif _is_glob(text):
            _add_glob(found, text)
        else:
            _add_named(found, path)
    _add_siblings(found)
    if not found.images:
        raise _not_found(" ".join(paths), found)
    return found


def _is_glob(text: str) -> bool:
    return has_magic(text) and not Path(text).exists()


def _add_folder(found: FoundImages, folder: Path, root: Path) -> None:
    for path in _walk(folder, found.passed_over):
        found.add_file(path, root)


def _walk(folder: Path, passed_over: dict[Path, str]) -> Iterator[Path]:
    """Yield the files below a folder, but not in folders that are hidden, links or locked."""
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            yield path
        elif path.name.startswith("."):
            passed_over[path] = HIDDEN
        elif path.is_symlink():
            passed_over[path] = "a link to a folder"
        elif not os.access(path, os.R_OK | os.X_OK):
            passed_over[path] = "a folder without permission to read it"
        else:
            yield from _walk(path, passed_over)


def _add_table(found: FoundImages, path: Path) -> None:
    names = found.channels.names
    required = ["Id", names[found.channels.protein]]
    for row in read_csv(path, required, names).to_dict("records"):
        if not row["Id"]:
            raise bad_table(path, required, f"no Id in line {row['line']}")
        for channel in names:
            if row.get(channel):
                found.add(row["Id"], channel, path.parent / row[channel])


def _add_glob(found: FoundImages, text: str) -> None:
    matches = [Path(each) for each in sorted(glob(text, recursive=True))]  # noqa: PTH207
    if not matches:
        raise _not_found(text, found)
    for path in matches:
        if path.is_dir():
            _add_folder(found, path, Path())
        else:
            found.add_named_file(path, Path())
            found.globbed.add(path.parent)


def _add_named(found: FoundImages, path: Path) -> None:
    if not path.exists():
        raise _not_found(str(path), found)
    names = ", ".join(found.channels.names)
    if reason := reason_to_pass(path, found.channels):
        raise UserError(
            f"{path} is not one channel of an image",
            expected=f"<name>_<channel> with {names}; {', '.join(SUFFIXES)}",
            received=f"{path.name} ({reason})",
            remedy="rename it, or list files and channels in a CSV",
        )
    found.add_named_file(path, path.parent)


def _add_siblings(found: FoundImages) -> None:
    """Complete the images of named files by the other channels in their folders.

    Names that are almost those of the images are passed over, and beside the matches of a glob
    all other pictures.
    """
    read = {path for channels in found.images.values() for path in channels.values()}
    for (folder, root), files in found.named.items():
        named = {parts: path for path in files if (parts := split_name(path, found.channels))}
        stems = {stem for stem, _ in named}
        folded = {stem.casefold() for stem in stems}
        for path in sorted(set(folder.iterdir()) - files - read):
            parts = split_name(path, found.channels)
            if parts and parts in named:
                found.passed_over[path] = f"{named[parts].name} was named"
            elif (parts and parts[0] in stems) or (not parts and _starts_with(path, stems)):
                found.add_file(path, root)
            elif parts and parts[0].casefold() in folded:
                found.passed_over[path] = OTHER_CAPITALS
            elif folder in found.globbed and path.suffix.lower() in SUFFIXES:
                found.passed_over[path] = reason_to_pass(path, found.channels) or NOT_MATCHED


def _starts_with(path: Path, stems: Set[str]) -> bool:
    """Return whether the name of a picture begins with a stem, but for signs of a hidden file."""
    name = path.name.lstrip("._")
    starts = {name[:end] for end in range(1, len(name))}
    return path.suffix.lower() in SUFFIXES and not stems.isdisjoint(starts)


def _not_found(text: str, found: FoundImages) -> UserError:
    names = found.channels.names
    passed_over = "; ".join(list_passed_over(found.passed_over))
    expected = f"<name>_{{{','.join(names)}}}, or a CSV with the columns Id, {', '.join(names)}"
    return _nothing_at(text, passed_over, expected)


def _nothing_at(text: str, passed_over: str, expected: str) -> UserError:
    return UserError(
        f"there is no image at {text}",
        expected=f"files, folders, globs or a CSV of PNG, TIFF or JPEG: {expected}",
        received=passed_over or f"no such files (from {Path.cwd()})",
        remedy="check the path, or rename the files",
    )
