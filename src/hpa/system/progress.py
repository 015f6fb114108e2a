"""One look for every progress bar."""

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
    """Show how far a loop is, its speed and the time left; rarely where no terminal watches.

    `initial` were done before, and say nothing of the speed.
    """
    return tqdm(
        items,
        desc=what,
        total=total,
        initial=initial,
        unit=f" {unit}s",
        mininterval=0.2 if sys.stderr.isatty() else 15,
    )
