"""Pattern of the names of a plate's files, guessed from the names: where well and channel are."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpa.data.images.file_names import READ_SUFFIXES, has_suffix, stem_of
from hpa.data.images.opened import Description, InvalidImageError
from hpa.data.images.opening import open_image

LETTER_AND_NUMBER, ROW_AND_COLUMN = r"[A-P]\d{1,2}", r"[Rr]\d{1,2}[Cc]\d{1,2}"
BEFORE, AFTER = r"(?<![A-Za-z0-9])", r"(?=[fs]\d|[^A-Za-z0-9]|$)"
IN_NAME = {
    ROW_AND_COLUMN: re.compile(rf"{BEFORE}{ROW_AND_COLUMN}{AFTER}"),
    LETTER_AND_NUMBER: re.compile(rf"{BEFORE}[A-P](?:0?[1-9]|1\d|2[0-4]){AFTER}"),
}
"""Wells in names, such as A1, A01 or r01c01; a field may follow, as in A01f02."""
IMAGEJ = r"(?:[A-Za-z]+_)?(?P<channel>C\d{1,2})-"
NUMBERED = re.compile(
    r"(f|s|z|t|p|m|xy|fld|field|site|pos|position|tile|img|image|slice|time|scene|series|view|plane"
    r"|well|rep|replicate|n|no|nr)?[ _-]?\d+",
    re.IGNORECASE,
)
"""Words that number fields, slices or time points; a wavelength such as 488 is a channel."""
WAVELENGTH = re.compile(r"[3-7]\d\d")
MAX_WORDS = 12
N_OPENED = 5
"""Files of which most decide whether files hold several channels."""


def suggested_pattern(paths: Sequence[str | Path]) -> str | None:
    r"""Return a pattern that finds the well in most names of files, or None.

    It has the group channel if each file holds one, and a word of its name says which.

    >>> suggested_pattern(["plate7_A01_s1_red.tif", "plate7_A01_s1_green.tif"])
    '(?P<name>.*?(?P<well>[A-P]\\d{1,2}).*)_(?P<channel>[^_]+)'
    """
    stems = [stem_of(Path(path)) for path in paths]
    for form, well in IN_NAME.items():
        found = {stem: well.findall(re.sub(f"^{IMAGEJ}", "", stem)) for stem in stems}
        found = {stem: wells for stem, wells in found.items() if wells}
        if 2 * len(found) <= len(stems):
            continue
        place = max((0, -1), key=lambda place: len({wells[place] for wells in found.values()}))
        start = rf"{'.*?' if place == 0 else '.*'}"
        wells = {stem: each[place] for stem, each in found.items()}
        for name in (rf"{start}(?P<well>{form})", rf"{start}{BEFORE}(?P<well>{form}){AFTER}"):
            whole = rf"(?P<name>{name}.*)"
            if all(_well(whole, stem) == well for stem, well in wells.items()):
                break
        opened = sample_description([Path(path) for path in paths])
        if opened and len(opened.channel_names) > 1:
            return whole
        each = (pattern for pattern in _with_channel(name) if _tells_channels(pattern, wells))
        return next(each, whole)
    return None


def sample_description(paths: Sequence[Path]) -> Description | None:
    """Return the description of a file that is like most of a few; None if none opens."""
    readable = [path for path in paths if has_suffix(path, READ_SUFFIXES)]
    found: list[Description] = []
    for path in readable[:: max(1, len(readable) // N_OPENED)]:
        try:
            with open_image(path) as image:
                found.append(image.description)
        except (InvalidImageError, OSError):
            continue
        if len(found) == N_OPENED:
            break
    usual = Counter(each.channel_names for each in found).most_common(1)
    return next((each for each in found if each.channel_names == usual[0][0]), None)


def _well(pattern: str, stem: str) -> str:
    match = re.fullmatch(pattern, re.sub(f"^{IMAGEJ}", "", stem))
    return match["well"] if match else ""


def _with_channel(name: str) -> Iterator[str]:
    """Yield patterns in which a word is the channel: as programs of microscopes write it first.

    Args:
        name: pattern of a name up to its well.
    """
    whole, word = rf"(?P<name>{name}.*)", r"(?P<channel>[^_]+)"
    yield rf"{IMAGEJ}{whole}"
    yield rf"{whole}[_-](?P<channel>[Cc][Hh]\d{{1,2}})(?:_SV|sk\d.*)?"
    yield rf"(?P<name>{name}f\d+)(?P<channel>d\d)"
    yield rf"(?P<name>{name}.*?)_w\d{{1,2}}(?P<channel>[A-Za-z][^_]*)(?P<field>_.*)?"
    yield rf"{whole}_(?P<channel>w\d{{1,2}})(?:[0-9A-Fa-f]{{8}}-.*)?"
    for separator in "_- ":
        yield rf"{whole}{separator}{word.replace('_', separator)}"
    for separator in "_- ":
        one = word.replace("_", separator)
        for n in range(3):
            between = rf"(?:{separator}[^{separator}]+){{{n}}}" if n else ""
            yield rf"(?P<name>{name}{between}){separator}{one}(?P<field>{separator}.+)"
        yield rf"{one}{separator}{whole}"


def _tells_channels(pattern: str, wells: dict[str, str]) -> bool:
    """Tell whether most images have each of a few words, none of which only counts."""
    images: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for stem, well in wells.items():
        match = re.fullmatch(pattern, stem)
        if match and match["well"] == well:
            rest = match.groupdict()
            images[rest["name"], rest.get("field") or ""].add(match["channel"])
    counts = Counter(word for words in images.values() for word in words)
    usual = {word for word, n in counts.items() if 2 * n >= len(images)}
    n_files, n_complete = sum(counts.values()), sum(usual <= words for words in images.values())
    return (
        2 * n_files > len(wells)
        and 2 <= len(usual) <= MAX_WORDS
        and 2 * n_complete >= len(images)
        and not any(map(is_number, usual))
    )


def is_number(word: str) -> bool:
    """Tell whether a word numbers a field, a slice or the like, and names no channel.

    >>> [is_number(word) for word in ("f1", "003", "Site 2", "488", "C2", "DAPI")]
    [True, True, True, False, False, False]
    """
    return bool(NUMBERED.fullmatch(word)) and not WAVELENGTH.fullmatch(word)
