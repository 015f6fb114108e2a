"""Progress bars, all of one format."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable[Any] | None = None, *, what: str, unit: str = "image", **options: Any
) -> "tqdm[Any]":
    """Show the progress of a loop, with the options of tqdm; seldom without a terminal."""
    seconds = 0.2 if sys.stderr.isatty() else 15
    return tqdm(items, desc=what, unit=f" {unit}s", mininterval=seconds, **options)
