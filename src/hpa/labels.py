"""Vocabulary of the competition: 28 labels, four channels, and the text format of label sets.

Source: Human Protein Atlas Image Classification (Kaggle, 2018), data description page.
"""

import re
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


def _plain(name: str) -> str:
    """Return a name as it is compared: small letters, single spaces."""
    return " ".join(name.casefold().split())


_NUMBERS = {_plain(name): number for number, name in enumerate(LABELS)}
_NAMES = "|".join(
    re.escape(name).replace(r"\ ", r"\s+") for name in sorted(LABELS, key=len, reverse=True)
)
_KNOWN = re.compile(
    rf"(?:(?P<name>{_NAMES})(?:\s*\(GO:\d+\))?|(?P<number>[01]?\d|2[0-7])(?:\.0)?|)"
    r"(?:$|[\s;|,]+)",
    re.IGNORECASE | re.ASCII,
)
_UNKNOWN = re.compile(r"(?P<word>[-+]?\d[^\s;|,]*|[^;|,]+)[\s;|,]*")


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


def split_labels(text: str) -> tuple[tuple[int, ...], list[str]]:
    """Split a cell of label numbers or names into sorted numbers and the words it does not know.

    Numbers and names are separated by spaces, semicolons, bars or commas. A name may be in any
    case, and may be followed by its identifier in the Gene Ontology; a number may end in `.0`, as
    in columns with gaps.

    >>> split_labels("Cytosol; Nucleoplasm (GO:0005654)|7, Vesicles")
    ((0, 7, 25), ['Vesicles'])
    """
    text = " ".join(text.split())  # any white space, as in names copied from a web page
    numbers, unknown, place = [], [], 0
    while place < len(text):
        if match := _KNOWN.match(text, place):
            if name := match["name"]:
                numbers.append(_NUMBERS[_plain(name)])
            elif match["number"]:
                numbers.append(int(match["number"]))
        elif match := _UNKNOWN.match(text, place):
            unknown.append(match["word"].strip())
        else:
            break
        place = match.end()
    return tuple(sorted(numbers)), unknown


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
