"""The preset's labels and channels, for rooms that do not yet take a vocabulary."""

from collections.abc import Iterable

import numpy as np

from hpa.vocabulary import hpa2018

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)
CHANNELS = hpa2018.CHANNELS.names


def parse_target(text: str) -> tuple[int, ...]:
    """Parse label numbers."""
    return hpa2018.LABELS.parse(text)


def split_labels(text: str) -> tuple[tuple[int, ...], list[str]]:
    """Split a cell of numbers or names."""
    return hpa2018.LABELS.split(text)


def format_target(numbers: Iterable[int]) -> str:
    """Format label numbers."""
    return hpa2018.LABELS.format(numbers)


def numbers_by_label(text: str, default: float) -> np.ndarray:
    """Parse values by label."""
    return hpa2018.LABELS.values(text, default)


def indicator_matrix(targets: Iterable[str]) -> np.ndarray:
    """Convert cells to y_true."""
    return hpa2018.LABELS.indicators(targets)
