"""Choice of the channels, and of the rule that tells them apart in a user's files."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa.config.params import fetched_channels
from hpa.config.sections import Fetch
from hpa.data.images.channel_choice import NO_NAME
from hpa.data.images.file_names import GUID, NUMBER, READ_SUFFIXES, has_suffix, stem_of
from hpa.data.images.opened import Description
from hpa.data.inspection.guesses import are_stains, endings, guess_channels, without_stain
from hpa.data.sources.well_patterns import sample_description
from hpa.vocabulary.channels import PROTEIN, Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS

STATED, COLUMNS, PATTERN, NAMES, NUMBERS, METADATA, POSITION, SINGLE, NONE = (
    "as stated",
    "by the columns of the table",
    "by the pattern of the file names",
    "by the ends of the file names",
    "by words in the file names",
    "by the names in the files' metadata",
    "by position in each file, as the files do not name them",
    "one per file",
    "no rule: neither file names nor metadata name any",
)
KEYS = ("fetch.channels", "fetch.found_as")


@dataclass(frozen=True)
class ChannelRule:
    """Channels, the rule by which they are found, and `fetch.found_as` that it needs.

    `left_out` are names of channels that show no stain, such as a transmitted-light picture.
    """

    channels: Channels
    by: str
    found_as: str | None = None
    left_out: tuple[str, ...] = ()


def channel_rule(
    columns: Sequence[str], files: Sequence[Path], fetch: Fetch, *, is_stated: bool
) -> ChannelRule:
    """Choose the channels of files.

    Args:
        columns: of a table, that hold names of files.
        files: a sample of them.
        fetch: the present parameters.
        is_stated: whether the user states channels or how they are found on the command line.
    """
    if is_stated:
        return ChannelRule(fetched_channels(fetch.channels), STATED, fetch.found_as)
    opened = sample_description(files)
    holds_several = opened is not None and (
        len(opened.channel_names) > 1 or are_stains(opened.slice_names)
    )
    return (
        _of_names(columns, COLUMNS)
        or (_of_pattern(files, fetch.pattern) if fetch.pattern else None)
        or (_of_description(opened) if opened and holds_several else None)
        or (None if fetch.pattern else _of_numbers(files) or _of_names(_ends(files), NAMES))
        or (_of_description(opened) if opened else None)
        or ChannelRule(CHANNELS, NONE)
    )


def _of_names(names: Sequence[str], by: str) -> ChannelRule | None:
    """Return the rule of words that name channels; the atlas' four if all of them occur."""
    if set(CHANNELS.names) <= {name.casefold() for name in names}:
        return ChannelRule(CHANNELS, by)
    unstained = without_stain(names)
    if not names or not (guess := guess_channels([n for n in names if n not in unstained])):
        return None
    channels, differ = guess
    places = "; ".join(f"{own}={word}" for own, word in differ.items())
    return ChannelRule(channels, by, places or None, unstained)


def _of_pattern(files: Iterable[Path], pattern: str) -> ChannelRule | None:
    """Return the rule of the words that the group channel of a pattern finds."""
    words: Counter[str] = Counter()
    for path in files:
        match = re.fullmatch(pattern, stem_of(path)) or re.fullmatch(pattern, path.name)
        if match and match.groupdict().get("channel"):
            words[match["channel"]] += 1
    usual = sorted(word for word, n in words.items() if 2 * n >= max(words.values()))
    return _of_names(usual, PATTERN) if words else None


def _ends(files: Iterable[Path]) -> list[str]:
    return endings(Path(path.parent, f"{stem_of(path)}.x") for path in files)


def _of_numbers(files: Iterable[Path]) -> ChannelRule | None:
    """Return the rule of numbers such as C1-, _ch00 or _w1GFP; MetaMorph's have names beside them.

    Files of an image differ in nothing else, so that several must occur.
    """
    found: dict[str, str] = {}
    for path in files:
        if has_suffix(path, READ_SUFFIXES) and (match := NUMBER.search(stem_of(path))):
            beside = re.match(rf"(?!{GUID})[A-Za-z][^_]*", stem_of(path)[match.end() :])
            name = beside[0] if match["metamorph"] and beside else match[0]
            if not name.lower().startswith("_thumb"):
                found.setdefault(match[0], name)
    words = sorted(found, key=lambda word: int(re.sub(r"\D", "", word)))
    guess = guess_channels([found[word] for word in words]) if len(words) > 1 else None
    if not guess:
        return None
    places = zip(guess[0].names, words, strict=True)
    return ChannelRule(guess[0], NUMBERS, "; ".join(f"{name}={word}" for name, word in places))


def _of_description(description: Description) -> ChannelRule | None:
    """Return the rule of a file's metadata: names, positions, or one channel."""
    names = description.channel_names
    if are_stains(description.slice_names):
        return _of_names(description.slice_names, METADATA)
    if len(names) == 1:
        return ChannelRule(Channels((Channel("protein", PROTEIN, "green"),)), SINGLE)
    if not all(NO_NAME.fullmatch(name) for name in names):
        return _of_names(names, METADATA)
    return _of_names([f"C{number}" for number in range(1, len(names) + 1)], POSITION)
