"""Maps of names (`fetch.label_map`): labels of a table under the names of another vocabulary.

Column `from` of a map is a name as tables write it, `to` the labels that replace it, separated by
semicolons; nothing drops the label. Names are compared as those of labels: without regard to case,
and to an identifier in the Gene Ontology behind them.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hpa.data.images.csv_tables import MAX_LISTED, lines_of, read_csv
from hpa.errors import UserError, did_you_mean, first_lines, first_names
from hpa.system.files import untracked_advice
from hpa.vocabulary.labels import SEPARATORS, Labels, plain

GENE_ONTOLOGY = re.compile(r"\s*\(GO:[0-9]+\)$", re.I)
NUMBERS = re.compile(r"[-+]?\d+(\.\d*)?( [-+]?\d+(\.\d*)?)*")
WATCHED = Path("own/labels")
"""The folder in which DVC notices an edit of labels and maps."""
PRESET = "atlas"
PRESET_CSV = Path(__file__).with_name("atlas_names.csv")
"""Today's names of the Human Protein Atlas, and those of the Gene Ontology."""
VESICLES = ("vesicles", "vesicle", "go:0043231", "go:0031982")
VESICLES_ADVICE = (
    "; the atlas means any of Endosomes, Lysosomes, Peroxisomes, Lipid droplets and Cytoplasmic "
    "bodies, so the map `atlas` leaves the choice to you: write own/labels/names.csv with the "
    "lines `from,to` and `Vesicles,Endosomes; Lysosomes`, or `Vesicles,` to drop the label, and "
    "set fetch.label_map to 'atlas; own/labels/names.csv'"
)


def normalised(text: str) -> str:
    """Return a text with single spaces, and accents as one character each."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def note_unwatched(path: Path) -> None:
    """Print a line if DVC does not notice an edit of a file."""
    if not path.resolve().is_relative_to(WATCHED.resolve()):
        print(
            f"{path} is outside {WATCHED}, the folder that DVC watches: after an edit of it, run "
            "dvc repro --force fetch"
        )


def words_of(text: str) -> list[str]:
    """Split a cell into names and numbers.

    >>> words_of("Vesicles (GO:0043231); Cell  Junctions|3 4")
    ['Vesicles', 'Cell Junctions', '3', '4']
    """
    words = [GENE_ONTOLOGY.sub("", normalised(each)) for each in re.split(f"[{SEPARATORS}]", text)]
    parted = [word.split() if NUMBERS.fullmatch(word) else [word] for word in words if word]
    return [word for each in parted for word in each]


@dataclass(frozen=True)
class MappedLabels(Labels):
    """Labels whose cells are read through a map.

    Attributes:
        renamed: the columns that replace each name, by its `plain` spelling.
        has_preset: whether the map of the atlas is a part of it.
    """

    renamed: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    has_preset: bool = False

    def split(self, text: str) -> tuple[tuple[int, ...], list[str]]:
        """Split a cell as `Labels.split` does, with the columns of mapped names united."""
        columns: set[int] = set()
        unknown: list[str] = []
        names: list[str] = []
        for word in words_of(text):
            if plain(word) in self.renamed:
                names.append(plain(word))
                continue
            known, lacking = super().split(word)
            unknown += [word] * bool(lacking)  # whole: `Midbody ring` is not `Midbody`
            names += [plain(self.names[column]) for column in known if not lacking]
        for name in names:
            columns |= set(self.renamed[name] if name in self.renamed else [self.column(name)])
        repeated = sorted(columns)[:1] if len(set(names)) < len(names) else []
        return tuple(sorted([*columns, *repeated])), unknown

    def advice(self, word: str) -> str:
        """Say how to map the atlas's name of several labels; else as `Labels.advice`."""
        if self.has_preset and plain(word) in VESICLES:
            return VESICLES_ADVICE
        return super().advice(word)


@dataclass(frozen=True)
class LabelMap:
    """Names that replace others.

    Attributes:
        stated: the parameter, "" for no map.
        targets: the names that replace each name, by its `plain` spelling; () drops it.
        spelled: its spelling in the map.
        own: the names, `plain`, of the user's own files, and the file and line of each.
    """

    stated: str = ""
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_preset(self) -> bool:
        """Whether the map of the atlas is a part of it."""
        return PRESET in parts_of(self.stated)

    def names(self, text: str) -> list[str]:
        """Return the names of a cell after the map, each once."""
        found = [self.targets.get(plain(word), (word,)) for word in words_of(text)]
        return list({plain(name): name for names in found for name in names}.values())

    def reader(self, labels: Labels, *, from_table: bool = False) -> Labels:
        """Return labels that read cells through the map.

        Names of the preset that are labels themselves stay what they are.

        Args:
            labels: those that the map leads to.
            from_table: whether they are those that occur, so that a row of the map that no cell
                needs may lead to others.

        Raises:
            UserError: a file of the user's own names labels that do not exist; all are listed.
        """
        if not self.stated:
            return labels
        renamed, wrong = {}, []
        for key, names in self.targets.items():
            columns, unknown = labels.split("; ".join(names))
            if key in self.own and not from_table:
                wrong += [
                    f"{self.own[key]}: unknown label {word!r}{did_you_mean(word, labels.names)}"
                    for word in unknown
                ]
            elif unknown or (key not in self.own and _is_label(key, labels)):
                continue
            renamed[key] = columns
        if wrong:
            raise UserError(
                "fetch.label_map names labels that do not exist",
                expected="in column to, names of labels separated by ; such as "
                f"{'; '.join(labels.names[:2])}, or nothing to drop the name",
                received="\n    ".join(["", *first_lines(wrong, MAX_LISTED)]),
                remedy="correct these lines, or add the labels to fetch.labels",
            )
        return MappedLabels(labels.labels, renamed, self.has_preset)

    def report(self, cells: Mapping[str, Iterable[str]], labels: Labels) -> list[str]:
        """Describe in lines what the map does to the cells of each table, and what it does not."""
        kept = {key for key in self.targets if key not in self.own and _is_label(key, labels)}
        lines, seen = [], set()
        for place, texts in cells.items():
            counts = Counter(
                key for text in texts for key in {plain(word) for word in words_of(text)}
            )
            for key, n in counts.most_common():
                if key in self.targets and key not in kept:
                    seen.add(key)
                    to = "; ".join(self.targets[key]) or "(dropped)"
                    lines.append(f"{place}: {self.spelled[key]} -> {to} ({n} rows)")
        if idle := [self.spelled[key] for key in self.own if key not in seen]:
            lines.append(f"fetch.label_map: in no row: {first_names(idle, MAX_LISTED)}")
        return lines


def read_map(stated: str | None) -> LabelMap:
    """Read the maps that `fetch.label_map` names, separated by semicolons.

    The names that an earlier map gives are looked up in the later ones, whose rows precede.

    Raises:
        UserError: a file is missing or malformed; all that is wrong with it is listed.
    """
    made = LabelMap(stated or "")
    for part in parts_of(stated or ""):
        each = _read(PRESET_CSV if part == PRESET else _own_file(part))
        before = {
            key: tuple(name for old in names for name in each.targets.get(plain(old), (old,)))
            for key, names in made.targets.items()
        }
        own = {} if part == PRESET else each.own
        made = LabelMap(
            made.stated,
            {**before, **each.targets},
            {**made.spelled, **each.spelled},
            {**made.own, **own},
        )
    return made


def parts_of(stated: str) -> list[str]:
    """Return the names of the maps that `fetch.label_map` states.

    >>> parts_of("atlas; own/labels/names.csv")
    ['atlas', 'own/labels/names.csv']
    """
    return [part.strip() for part in stated.split(";") if part.strip()]


def without_dropped(images: pd.DataFrame, place: Path | str) -> pd.DataFrame:
    """Leave out the images whose labels were all dropped, and say so.

    They are not unlabelled: somebody has looked at them, and seen what no label names.

    Raises:
        UserError: no labelled image is left.
    """
    dropped = images["labelled"] & (images["Target"] == "")
    if not dropped.any():
        return images
    if dropped.sum() == images["labelled"].sum():
        raise UserError(
            f"fetch.label_map drops all labels of {place}",
            expected="a label of at least one image that is kept",
            received=f"{dropped.sum()} labelled images, none with another label",
            remedy="map these names to labels, or leave the source out",
        )
    print(
        f"{place}: {dropped.sum()} images are left out, as fetch.label_map drops all of their "
        f"labels: {first_names(list(images['Id'][dropped]))}"
    )
    return images[~dropped].reset_index(drop=True)


def _own_file(stated: str) -> Path:
    path = Path(stated)
    if not path.is_file():
        raise UserError(
            f"{path}, which fetch.label_map names, is missing",
            expected=f"a CSV with the columns from and to, or {PRESET}",
            received=f"no such file (from {Path.cwd()})",
            remedy="write it into own/labels, one name per line; or set fetch.label_map to null"
            f"{untracked_advice(path)}",
        )
    note_unwatched(path)
    return path


def _read(path: Path) -> LabelMap:
    """Read one CSV; `own` has the place of each row."""
    targets: dict[str, tuple[str, ...]] = {}
    spelled: dict[str, str] = {}
    lines: dict[str, list[str]] = defaultdict(list)
    wrong = []
    for row in read_csv(path, ["from", "to"]).to_dict("records"):
        words, names = words_of(row["from"]), words_of(row["to"])
        if len(words) != 1:
            wrong.append(f"line {row['line']}: {len(words)} names in column from, expected one")
            continue
        key = plain(words[0])
        lines[key].append(row["line"])
        targets[key], spelled[key] = tuple(names), words[0]
    wrong += [
        f"{lines_of(each)}: {spelled[key]} is mapped more than once"
        for key, each in lines.items()
        if len(each) > 1
    ]
    wrong += [
        f"line {lines[key][0]}: {spelled[key]} becomes {name}, which line {lines[plain(name)][0]} "
        "maps further: write its labels here"
        for key, names in targets.items()
        for name in names
        if plain(name) != key and targets.get(plain(name), (name,)) != (name,)
    ]
    if wrong or not targets:
        raise UserError(
            f"{path} is not a map of labels",
            expected="rows of one name (from) and the labels that replace it (to), separated by ; "
            "or nothing; each name once, and no label that is mapped itself",
            received="\n    ".join([f"{len(targets)} names", *first_lines(wrong, MAX_LISTED)]),
            remedy="correct the lines above" if wrong else "write rows, or set it to null",
        )
    own = {key: f"{path}, {lines_of(each)}" for key, each in lines.items()}
    return LabelMap(str(path), targets, spelled, own)


def _is_label(name: str, labels: Labels) -> bool:
    try:
        labels.column(name)
    except KeyError:
        return False
    return True
