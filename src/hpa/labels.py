"""Vocabulary of the competition: 28 labels, four channels, and the text format of label sets.

Source: Human Protein Atlas Image Classification (Kaggle, 2018), data description page.
"""

from collections.abc import Iterable

import numpy as np

LABELS = (
    "Nucleoplasm",
    "Nuclear membrane",
    "Nucleoli",
    "Nucleoli fibrillar center",
    "Nuclear speckles",
    "Nuclear bodies",
    "Endoplasmic reticulum",
    "Golgi apparatus",
    "Peroxisomes",
    "Endosomes",
    "Lysosomes",
    "Intermediate filaments",
    "Actin filaments",
    "Focal adhesion sites",
    "Microtubules",
    "Microtubule ends",
    "Cytokinetic bridge",
    "Mitotic spindle",
    "Microtubule organizing center",
    "Centrosome",
    "Lipid droplets",
    "Plasma membrane",
    "Cell junctions",
    "Mitochondria",
    "Aggresome",
    "Cytosol",
    "Cytoplasmic bodies",
    "Rods & rings",
)
N_LABELS = len(LABELS)

CHANNELS = ("red", "green", "blue", "yellow")
"""Last axis of an image: microtubules, protein, nucleus, endoplasmic reticulum."""


def parse_target(text: str) -> tuple[int, ...]:
    """Parse a `Target` cell such as `"25 0"` into sorted label numbers; `""` is the empty set.

    Raises:
        ValueError: a word is not a label number, or a number is repeated.
    """
    words = text.split()
    for word in words:
        if not (word.isascii() and word.isdigit() and int(word) < N_LABELS):
            raise ValueError(
                f"unknown label {word!r}: expected label numbers from 0 to {N_LABELS - 1} "
                "separated by spaces"
            )
    numbers = sorted(int(word) for word in words)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"duplicate label in {text!r}: expected each number once")
    return tuple(numbers)


def format_target(numbers: Iterable[int]) -> str:
    """Format a label set as a `Target` cell: ascending numbers separated by spaces."""
    return " ".join(str(number) for number in sorted(numbers))


def numbers_by_label(text: str, default: float) -> np.ndarray:
    """Parse `27x8 15x4` into float64[28]: 8 for label 27, 4 for label 15, else the default."""
    numbers = np.full(N_LABELS, default)
    for word in text.split():
        label, _, number = word.partition("x")
        numbers[int(label)] = float(number)
    return numbers


def indicator_matrix(targets: Iterable[str]) -> np.ndarray:
    """Convert N `Target` cells to y_true uint8[N,28]."""
    label_sets = [parse_target(target) for target in targets]
    y_true = np.zeros((len(label_sets), N_LABELS), dtype=np.uint8)
    for row, numbers in enumerate(label_sets):
        y_true[row, list(numbers)] = 1
    return y_true
