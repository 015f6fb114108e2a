"""Progress bars, all of one format."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable[Any] | None = None,
    *,
    what: str,
    total: int | None = None,
    unit: str = "image",
    initial: int = 0,
) -> "tqdm[Any]":
    """Show the progress of a loop, its speed and the time left; seldom without a terminal.

    The `initial` items were done before and do not count for the speed.
    """
    return tqdm(
        items,
        desc=what,
        total=total,
        initial=initial,
        unit=f" {unit}s",
        mininterval=0.2 if sys.stderr.isatty() else 15,
    )
