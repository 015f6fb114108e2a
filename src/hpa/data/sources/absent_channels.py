"""Channels that no file and no column is named after: one error, with the names that occur."""

import re
from collections import Counter
from pathlib import Path

from hpa.data.images.file_names import found_as_advice
from hpa.data.images.formats import SUFFIXES
from hpa.errors import UserError, first_names
from hpa.vocabulary.channels import Channels


def absent_channels(absent: list[str], channels: Channels, place: str, received: str) -> UserError:
    """Return the error of channels that nothing is named after."""
    protein = channels.names[channels.protein]
    return UserError(
        f"no {place} is the channel {' or '.join(absent)}",
        expected=f"one for each of fetch.channels: {', '.join(channels.names)}",
        received=received,
        remedy="set fetch.channels to the names that occur (docs/labels.md), fetch.found_as to the "
        "words or numbers that stand for these channels, or rename the files or columns"
        + (
            f"; fetch.missing_channels makes any but {protein} black, if it truly is missing"
            if set(absent) != {protein}
            else ""
        ),
    )


def endings_of(folder: Path, names: list[str]) -> str:
    """Describe in what the names of the pictures in a folder's subfolders end, most first."""
    pictures = [
        path
        for name in names
        for path in (folder / name).glob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not pictures:
        return f"no PNG, TIFF or JPEG in {' or '.join(str(folder / name) for name in names)}"
    ends = Counter(
        "_" + re.split("_" if "_" in path.stem else "[- ]", path.stem)[-1] for path in pictures
    )
    ordered = sorted(ends.items(), key=lambda each: (-each[1], each[0]))
    listed = first_names([f"{end} ({n})" for end, n in ordered])
    return f"{len(pictures)} pictures whose names end in {listed}{found_as_advice(pictures)}"
