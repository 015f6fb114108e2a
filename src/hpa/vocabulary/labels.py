"""Labels of a data set: names, numbers, and the text format of label sets.

Column k of every array [N,C] belongs to label k, in the order of the numbers.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpa.errors import did_you_mean, first_names

if TYPE_CHECKING:
    import numpy as np

MAX_LABELS = 500
MAX_NAME = 80
SEPARATORS = ";|,"
"""Characters between the labels of a cell, which no name may contain."""
_NOT_A_NAME = re.compile(rf"[{SEPARATORS}\x00-\x1f\x7f]|^\s|\s$|^$|^[-+]?\d+(\.\d*)?$")
_UNKNOWN = re.compile(r"(?P<word>[-+]?\d[^\s;|,]*|[^;|,]+)[\s;|,]*")
_VALUE = re.compile(
    r"(?P<label>[^;,]+?)(?:(?<=\d)|\s)\s*x\s*(?P<number>\d*\.?\d+)(?:\s*[;,]\s*|\s+|\s*$)"
)


def plain(name: str) -> str:
    """Return a name as it is compared: small letters, single spaces.

    >>> plain("Plasma  Membrane ")
    'plasma membrane'
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


@dataclass(frozen=True)
class Label:
    """A structure that an image may show.

    Attributes:
        number: its number in tables; numbers may have gaps.
        name: its name, unique without regard to case.
        description: an explanation for people, or "".
        color: `#rrggbb` in pages and figures, or "" for the default.
    """

    number: int
    name: str
    description: str = ""
    color: str = ""


@dataclass(frozen=True)
class Labels:
    """All labels of a data set, in ascending order of their numbers.

    Raises:
        ValueError: there are none or too many, or `problems` finds any.
    """

    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        if found := problems(self.labels):
            raise ValueError("; ".join(found))
        if list(self.numbers) != sorted(self.numbers):
            raise ValueError(f"numbers must ascend, got {self.numbers}")

    @classmethod
    def named(cls, names: Iterable[str]) -> "Labels":
        """Number names from 0, in their order."""
        return cls(tuple(Label(number, name) for number, name in enumerate(names)))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the columns."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The numbers, in the order of the columns."""
        return tuple(label.number for label in self.labels)

    def column(self, name: str) -> int:
        """Return the column of a label, by its name or number.

        Raises:
            KeyError: no label has this name or number.
        """
        return self._columns[plain(name)]

    def parse(self, text: str) -> tuple[int, ...]:
        """Parse a `Target` cell of numbers, such as `"25 0"`, into columns; `""` is the empty set.

        Raises:
            ValueError: a word is not the number of a label, or a number is repeated.
        """
        words = text.split()
        for word in words:
            if not (word.isascii() and word.isdigit() and word in self._columns):
                raise ValueError(
                    f"unknown label {word!r}: expected {self.described_numbers} separated by spaces"
                )
        columns = sorted(self._columns[word] for word in words)
        if len(set(columns)) < len(columns):
            raise ValueError(f"duplicate label in {text!r}: expected each number once")
        return tuple(columns)

    def split(self, text: str) -> tuple[tuple[int, ...], list[str]]:
        """Split a cell of label numbers or names into sorted columns and the words it cannot match.

        Numbers and names are separated by spaces, semicolons, bars or commas. A name may be in any
        case, and may be followed by its identifier in the Gene Ontology; a number may end in `.0`,
        as in columns with gaps.

        >>> labels = Labels.named(["Nucleoplasm", "Plasma membrane", "Cytosol"])
        >>> labels.split("Cytosol; Nucleoplasm (GO:0005654)|1, Vesicles")
        ((0, 1, 2), ['Vesicles'])
        """
        # Any white space, and accents as a Mac writes them, as in names copied from elsewhere.
        text = " ".join(unicodedata.normalize("NFC", text).split())
        columns: list[int] = []
        unknown: list[str] = []
        place = 0
        while place < len(text):
            if match := self._known.match(text, place):
                if word := match["name"] or match["number"]:
                    columns.append(self._columns[plain(word)])
            elif match := _UNKNOWN.match(text, place):
                word = match["word"].strip()
                if plain(word) in self._columns:  # such as STRASSE for Straße
                    columns.append(self._columns[plain(word)])
                else:
                    unknown.append(word)
            else:
                break
            place = match.end()
        return tuple(sorted(columns)), unknown

    def advice(self, word: str) -> str:
        """Return a hint at the label of almost the same letters, or "" if there is none."""
        return did_you_mean(word, self.names, cutoff=0.85)

    def format(self, columns: Iterable[int]) -> str:
        """Format a label set as a `Target` cell: ascending numbers separated by spaces."""
        return " ".join(str(self.numbers[column]) for column in sorted(columns))

    def indicators(self, targets: Iterable[str]) -> "np.ndarray":
        """Convert N `Target` cells of numbers to y_true uint8[N,C]."""
        import numpy as np  # not at the top: the command line reads labels without it

        label_sets = [self.parse(target) for target in targets]
        y_true = np.zeros((len(label_sets), len(self)), dtype=np.uint8)
        for row, columns in enumerate(label_sets):
            y_true[row, list(columns)] = 1
        return y_true

    @cached_property
    def described_numbers(self) -> str:
        """The numbers, in words: `label numbers from 0 to 27`."""
        first, last = self.numbers[0], self.numbers[-1]
        if last - first + 1 == len(self):
            return f"label numbers from {first} to {last}"
        return f"the label numbers {first_names([str(number) for number in self.numbers])}"

    @cached_property
    def _columns(self) -> dict[str, int]:
        """Return the column of each name and of each number."""
        by_number = {str(number): column for column, number in enumerate(self.numbers)}
        return by_number | {plain(name): column for column, name in enumerate(self.names)}

    @cached_property
    def _known(self) -> re.Pattern[str]:
        """Return a pattern of one name or number, and the separators after it."""
        ordered = sorted(self.names, key=len, reverse=True)
        names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in ordered)
        numbers = "|".join(str(number) for number in sorted(self.numbers, reverse=True))
        return re.compile(
            rf"(?:(?P<name>{names})(?:\s*\(GO:[0-9]+\))?|0?(?P<number>{numbers})(?:\.0)?|)"
            r"(?:$|[\s;|,]+)",
            re.IGNORECASE,
        )

    def values(self, text: str, default: float) -> "np.ndarray":
        """Convert a text such as `27x8; Golgi apparatus x4` to float64[C]; others get the default.

        Raises:
            ValueError: the text is malformed, or names labels that are not here, or one twice.
        """
        stated = label_values(text)
        if unknown := [name for name in stated if plain(name) not in self._columns]:
            raise ValueError(f"unknown labels {', '.join(map(repr, unknown))}")
        columns = [self.column(name) for name in stated]
        if len(set(columns)) < len(columns):
            raise ValueError(f"a label twice in {text!r}")
        import numpy as np

        values = np.full(len(self), float(default))
        values[columns] = list(stated.values())
        return values

    def difference(self, other: "Labels") -> str:
        """Describe how other labels differ from these, in a line; "" if names and order agree."""
        if self.names == other.names:
            return ""
        absent = [name for name in self.names if name not in other.names]
        added = [name for name in other.names if name not in self.names]
        parts = [
            f"{title} {len(names)}: {first_names(names)}"
            for title, names in (("without", absent), ("in addition", added))
            if names
        ]
        return "; ".join(parts) or "the same labels in another order"

    def to_json(self) -> list[dict[str, Any]]:
        """Return number, name, and what else is known of each label."""
        return [{k: v for k, v in asdict(label).items() if v != ""} for label in self.labels]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any] | str]) -> "Labels":
        """Read the document of `to_json`, or a list of names as earlier versions wrote it.

        Raises:
            ValueError: it is neither.
        """
        try:
            return cls(
                tuple(
                    Label(number, each) if isinstance(each, str) else Label(**each)
                    for number, each in enumerate(document)
                )
            )
        except TypeError as error:
            raise ValueError(f"not a list of labels: {error}") from error


def label_values(text: str) -> dict[str, float]:
    """Parse `LABEL x NUMBER` entries, separated by spaces or semicolons, by number or name.

    Raises:
        ValueError: the text is malformed, or names a label twice.

    >>> label_values("27x8 15x.4")
    {'27': 8.0, '15': 0.4}
    >>> label_values("Golgi apparatus x 4; Nucleoli x2")
    {'Golgi apparatus': 4.0, 'Nucleoli': 2.0}
    """
    values: dict[str, float] = {}
    place = 0
    while place < len(text.rstrip()):
        match = _VALUE.match(text, place)
        if match is None or match["label"].strip() in values:
            raise ValueError(f"malformed at {text[place:]!r}: expected LABEL x NUMBER")
        values[match["label"].strip()] = float(match["number"])
        place = match.end()
    return values


def problems(labels: Sequence[Label]) -> list[str]:
    """Describe all that is wrong with a list of labels, in a sentence each."""
    found = []
    if not 1 <= len(labels) <= MAX_LABELS:
        found.append(f"{len(labels)} labels, expected 1 to {MAX_LABELS}")
    found += [
        f"the name {label.name!r} is not allowed: expected 1 to {MAX_NAME} characters, no "
        f"{' '.join(SEPARATORS)}, and not a number"
        for label in labels
        if _NOT_A_NAME.search(label.name) or len(label.name) > MAX_NAME
    ]
    found += [
        f"{label.name!r} has the number {label.number}, expected 0 to 999999"
        for label in labels
        if type(label.number) is not int or not 0 <= label.number < 1_000_000
    ]
    found += [
        f"{label.name!r} has the color {label.color!r}, expected #rrggbb"
        for label in labels
        if label.color and not re.fullmatch("#[0-9a-fA-F]{6}", label.color)
    ]
    by_key: dict[str, list[str]] = {}
    for label in labels:
        for key in (f"name {plain(label.name)!r}", f"number {label.number}"):
            by_key.setdefault(key, []).append(repr(label.name))
    found += [
        f"the {key} is given {len(names)} times: {', '.join(names)}"
        for key, names in by_key.items()
        if len(names) > 1
    ]
    return found
