"""Guesses from names: which words are channels, what each shows, and which labels a table has."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from hpa.data.sources.well_patterns import is_number
from hpa.vocabulary.channels import (
    MAX_CHANNELS,
    NAME,
    NUCLEUS,
    OTHER,
    PROTEIN,
    RESERVED,
    Channel,
    Channels,
)
from hpa.vocabulary.hpa2018 import CHANNELS

NUCLEUS_WORDS = re.compile(
    r"dapi|hoechst|draq5|nucle(us|i|ar)?\b|\bdna\b|h2b|405|sytox|^blue$", re.I
)
PROTEIN_WORDS = re.compile(
    r"protein|target|antibod|e?gfp|green|488|fitc|venus|citrine|neon|halo", re.I
)
COLOR_WORDS = {
    "blue": r"dapi|hoechst|405|blue|nucle|\bdna\b",
    "green": r"gfp|488|fitc|green|protein|venus|neon",
    "red": r"red|rfp|cherry|tomato|561|568|594|cy3|tritc|actin|phalloidin|tubul|\bmt\b",
    "yellow": r"yellow|yfp|532|\ber\b|reticul|calnexin",
    "magenta": r"cy5|647|633|640|far|magenta",
}
NO_STAIN = re.compile(
    r"bright[ _-]?field|\bBF\b|\bDIC\b|phase|transmi|t-?pmt|nomarski|\bTL\b|\bTD\b|\bESID\b", re.I
)
"""Pictures by transmitted light, in which no protein shows."""
SPARE_COLORS = ("green", "red", "yellow", "magenta", "cyan", "orange", "white", "blue")


def guess_channels(names: Sequence[str]) -> tuple[Channels, dict[str, str]] | None:
    """Guess role and colour of channels from their names in files, tables or metadata.

    Returns:
        The channels, and for each the name in the files if that cannot be a channel's own; the
        atlas' four channels if the names are these. None if there are none, too many, or twins.
    """
    if {name.casefold() for name in names} == set(CHANNELS.names):
        return CHANNELS, {}
    clean = [_clean(name, number) for number, name in enumerate(names, 1)]
    if not 1 <= len(names) <= MAX_CHANNELS or len({each.casefold() for each in clean}) < len(clean):
        return None
    roles = _roles(names)
    used: list[str] = []
    channels = []
    for name, word, role in zip(clean, names, roles, strict=True):
        used.append(_color(word, role, used))
        channels.append(Channel(name, role, used[-1]))
    differ = {own: word for own, word in zip(clean, names, strict=True) if word and own != word}
    return Channels(tuple(channels)), differ


def are_stains(names: Sequence[str]) -> bool:
    """Tell whether a few names are those of a nucleus and of a protein, not of slices in depth.

    >>> are_stains(["DAPI", "GFP", "Cy3"]), are_stains(["z1", "z2"])
    (True, False)
    """
    sought = (NUCLEUS_WORDS, PROTEIN_WORDS)
    return len(names) <= MAX_CHANNELS and all(any(map(each.search, names)) for each in sought)


def without_stain(names: Iterable[str]) -> tuple[str, ...]:
    """List the names of pictures by transmitted light, if others remain.

    >>> without_stain(["DAPI", "Brightfield", "GFP", "TL DIC"]), without_stain(["Phase"])
    (('Brightfield', 'TL DIC'), ())
    """
    names = tuple(names)
    found = tuple(name for name in names if NO_STAIN.search(name))
    return found if len(found) < len(names) else ()


def _clean(word: str, number: int) -> str:
    """Turn a word into the name of a channel."""
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", word).strip("-.+")[:31]
    if not NAME.fullmatch(name) or name.casefold() in RESERVED:
        return f"C{number}"
    return name


def _roles(names: Sequence[str]) -> list[str]:
    """Guess the nucleus, then the protein among the others."""
    nuclei = [number for number, name in enumerate(names) if NUCLEUS_WORDS.search(name)]
    nucleus = nuclei[0] if nuclei and len(names) > 1 else None
    others = [number for number in range(len(names)) if number != nucleus]
    likely = [number for number in others if PROTEIN_WORDS.search(names[number])]
    protein = (likely or others)[0]
    places = {protein: PROTEIN} | ({nucleus: NUCLEUS} if nucleus is not None else {})
    return [places.get(number, OTHER) for number in range(len(names))]


def _color(word: str, role: str, used: Sequence[str]) -> str:
    likely = [color for color, words in COLOR_WORDS.items() if re.search(words, word, re.I)]
    by_role = {NUCLEUS: ["blue"], PROTEIN: ["green"]}.get(role, [])
    return next(each for each in (*likely, *by_role, *SPARE_COLORS) if each not in used)


def endings(paths: Iterable[PurePath]) -> list[str]:
    """List the last words of file names that distinguish the channels of an image, if they do.

    Names such as `a_DAPI.tif, a_GFP.tif, b_DAPI.tif` have them: few words, each of which occurs
    with most of what precedes it.

    >>> endings(map(PurePath, ["a_DAPI.tif", "a_GFP.tif", "b 1_DAPI.tif", "b 1_GFP.tif"]))
    ['DAPI', 'GFP']
    >>> endings(map(PurePath, ["cell_1.tif", "cell_2.tif", "a_f1.tif", "a_f2.tif"]))
    []
    """
    stems: dict[tuple[PurePath, str], set[str]] = defaultdict(set)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for path in paths:
        if match := re.fullmatch(r"(.+)[_\- ]([^_\- ]+)", path.stem):
            stems[path.parent, match[1]].add(match[2].casefold())
            spellings[match[2].casefold()][match[2]] += 1
    counts = Counter(word for words in stems.values() for word in words)
    wanted = [
        word
        for word, n in counts.items()
        if 2 * n >= len(stems) and re.match("[a-z0-9]*[a-z]", word) and not is_number(word)
    ]
    if not 1 <= len(wanted) <= MAX_CHANNELS or (len(stems) == 1 and len(wanted) == 1):
        return []
    return [spellings[word].most_common(1)[0][0] for word in sorted(wanted)]
