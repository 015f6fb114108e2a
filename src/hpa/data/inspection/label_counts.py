"""Labels of a table, counted, and the value of `fetch.labels` that reads them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpa.data.sources.fetched_labels import FROM_TABLE
from hpa.data.sources.label_map import GENE_ONTOLOGY, PRESET, read_map
from hpa.errors import did_you_mean, first_names
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import MAX_LABELS, SEPARATORS, Labels, plain

RARE = 10
"""Images; a label with fewer can hardly be learnt and judged."""


@dataclass(frozen=True)
class LabelCounts:
    """Labels and their numbers of images.

    Attributes:
        setting: the value of `fetch.labels`; None if no value reads them.
        reason: for it.
        counts: images per label, the most frequent first.
        unknown: each word that the vocabulary lacks, its images, and a hint at the one meant.
        n_empty: images without a label.
        label_map: the value of `fetch.label_map` that it needs.
    """

    setting: str | None
    reason: str
    counts: list[tuple[str, int]]
    unknown: list[tuple[str, int, str]]
    n_empty: int
    label_map: str | None = None

    def of(self, targets: Sequence[str]) -> "LabelCounts":
        """Count the images instead of the rows of a table, by the names of their labels."""
        counts = _named(targets).most_common()
        return replace(self, counts=counts, n_empty=sum(not text for text in targets))


def count_labels(targets: Sequence[str]) -> LabelCounts:
    """Count the labels of cells, "" without a label, by the vocabulary that fits."""
    n_empty = sum(not text.strip() for text in targets)
    known, unknown = _matched(targets, hpa2018.LABELS)
    if not known and not unknown:
        return LabelCounts(None, "", [], [], n_empty)
    if not unknown:
        are_names = any(re.search("[A-Za-z]", text) for text in targets)
        few = are_names and 0 < len(known) <= len(hpa2018.LABELS) // 2
        reason = f"the {len(known)} that occur, of the competition's {len(hpa2018.LABELS)}"
        setting = FROM_TABLE if few else hpa2018.NAME
        return LabelCounts(setting, reason if few else "", known, [], n_empty)
    mapped, unmapped = _matched(targets, read_map(PRESET).reader(hpa2018.LABELS))
    if not unmapped:
        reason = f"with {first_names(list(unknown), 3)} by today's names of the atlas"
        return LabelCounts(hpa2018.NAME, reason, mapped, [], n_empty, PRESET)
    names = _named(targets)
    if not 1 <= len(names) <= MAX_LABELS or any(not re.search("[^\\d.+-]", name) for name in names):
        return LabelCounts(None, "", known, _hinted(unknown, hpa2018.LABELS.names), n_empty)
    counts = names.most_common()
    common = [name for name, n in counts if n >= RARE or name in hpa2018.LABELS.names]
    strange = {name: n for name, n in counts if plain(name) in map(plain, unknown)}
    odd = [
        (name, n, hint)
        for name, n in strange.items()
        if (hint := _hint(name, [*hpa2018.LABELS.names, *common]))
    ]
    return LabelCounts(FROM_TABLE, "the names in the table", counts, odd, n_empty)


def _matched(targets: Sequence[str], labels: Labels) -> tuple[list[tuple[str, int]], Counter[str]]:
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for text, n in Counter(targets).items():
        columns, words = labels.split(text)
        for column in set(columns):
            counts[labels.names[column]] += n
        for word in words:
            unknown[word] += n
    return counts.most_common(), unknown


def _named(targets: Sequence[str]) -> Counter[str]:
    """Count the names between separators, compared without regard to case."""
    counts: Counter[str] = Counter()
    spellings: dict[str, str] = {}
    for text, n in Counter(targets).items():
        words = {GENE_ONTOLOGY.sub("", word.strip()) for word in re.split(f"[{SEPARATORS}]", text)}
        for name in {plain(word): word for word in words if word}.values():
            counts[spellings.setdefault(plain(name), name)] += n
    return counts


def _hinted(unknown: Counter[str], names: Sequence[str]) -> list[tuple[str, int, str]]:
    return [(word, n, _hint(word, names)) for word, n in unknown.most_common()]


def _hint(name: str, names: Sequence[str]) -> str:
    others = [other for other in names if plain(other) != plain(name)]
    return did_you_mean(name, others, cutoff=0.85).removeprefix("; ")
