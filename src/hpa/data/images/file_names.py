"""The one rule of which files are read by their names, and why others are passed over.

`<name>_<channel>.<suffix>` is one channel of the image `<name>`. A hyphen or a blank may stand for
the underscore, and capitals make no difference in channel and suffix. If one channel's name is the
end of another's, as with `red` and `infra-red`, the longer one is read. A folder holds one file for
each channel of an image.

Any other name of a format that holds several channels, such as `<name>.ome.tif`, is a whole image.
`fetch.found_as` and `serve.found_as` give words that stand for channels in names, such as C1, ch00
or w1; `pattern` replaces all of these rules.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from os.path import commonprefix
from pathlib import Path, PurePath

from hpa.data.images.channel_choice import places
from hpa.data.images.formats import SUFFIXES
from hpa.errors import first_names
from hpa.vocabulary.channels import Channels

TIFF_SUFFIXES = (".tif", ".tiff", ".tf2", ".tf8", ".btf", ".lsm", ".stk")
ZARR_SUFFIXES = (".zarr", ".ozx", ".zip")
FOLDER_SUFFIX = ".zarr"
SEVERAL_SUFFIXES = (*TIFF_SUFFIXES, *ZARR_SUFFIXES, ".czi", ".nd2", ".lif")
"""Suffixes of files, or folders, that may hold several channels."""
READ_SUFFIXES = tuple(dict.fromkeys((*SUFFIXES, *SEVERAL_SUFFIXES)))
SUFFIX = re.compile(
    r"(?P<stem>.+?)(?P<inner>\.ome|\.zarr|\.ome\.zarr)?"
    rf"(?P<suffix>{'|'.join(map(re.escape, READ_SUFFIXES))})(?P<scene>#[1-9]\d{{0,5}})?",
    re.IGNORECASE | re.DOTALL,
)
"""Name of a file that is read: `x.ome.tif`, `x.ome.zarr.zip`, `x.lif#3` (its third scene)."""

HIDDEN = "hidden"
OTHER_SUFFIX = "neither a picture nor a microscope's file by its name"
NO_CHANNEL = "the name does not end in"
TWO_WORDS = "the name holds several words of found_as; set pattern instead"
THUMBNAIL = "a thumbnail by its name"
GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
"""Number of a file that ImageXpress joins to that of the channel, as in `x_w1539ECBE5-…`."""
NUMBER = re.compile(
    r"(?:^|(?<=_))(?P<imagej>C\d{1,2})(?=-)"
    r"|(?<![^\W_])(?P<leica>[Cc][Hh]\d{1,2})(?![^\W_])"
    rf"|(?<=_)(?P<metamorph>w\d{{1,2}}?(?={GUID})|w\d{{1,2}}(?=[A-Za-z]|_|$))"
)
"""Channels' numbers in names by ImageJ (C1-x, MAX_C1-x), Leica (x_ch00), MetaMorph (x_w1GFP)."""
N_NAMES = 5
"""File names that a message about passed-over files lists for each reason."""


def split_name(
    path: PurePath,
    channels: Channels,
    *,
    pattern: str | None = None,
    found_as: str | None = None,
) -> tuple[str, str | None] | None:
    """Return image name and channel of a file name; None if the file is not read.

    The channel is None for a file that holds all channels of the image.

    Args:
        path: a file, a folder of OME-Zarr, or one of its scenes such as `x.lif#3`.
        channels: those of the model, or of `fetch.channels`.
        pattern: regular expression of the name, with or without suffix, with the groups name or
            well, field (added if it is outside of name) and channel; None for the rules above.
        found_as: words for channels in names, as in `red=C3; green=C1`.

    >>> from hpa.vocabulary.hpa2018 import CHANNELS
    >>> split_name(Path("a_green.png"), CHANNELS), split_name(Path("a (3).ome.tif"), CHANNELS)
    (('a', 'green'), ('a (3)', None))
    >>> split_name(Path("C1-a.tif"), CHANNELS, found_as="green=C1")
    ('a', 'green')
    """
    found = named(path.name, channels, pattern, found_as)
    return None if isinstance(found, str) else found


def reason_to_pass(
    path: PurePath,
    channels: Channels,
    *,
    pattern: str | None = None,
    found_as: str | None = None,
) -> str | None:
    """Return why a file is passed over by its name, or None."""
    found = named(path.name, channels, pattern, found_as)
    return found if isinstance(found, str) else None


def no_channel(channels: Channels) -> str:
    """Return the reason to pass over a file whose name does not end in a channel."""
    return f"{NO_CHANNEL} {', '.join(f'_{each}' for each in channels.names)}"


def stem_of(path: PurePath) -> str:
    """Return a file's name without the suffixes of its format.

    >>> stem_of(Path("plate7 (3).ome.tif")), stem_of(Path("x.lif#3")), stem_of(Path("notes.txt"))
    ('plate7 (3)', 'x#3', 'notes')
    """
    match = SUFFIX.fullmatch(path.name)
    return f"{match['stem']}{match['scene'] or ''}" if match else path.stem


def shared_name(names: Sequence[str]) -> str:
    """Return what names begin with, up to a separator; the first name if that is nothing.

    >>> shared_name(["a_Z1", "a_Z2"]), shared_name(["cell-1 mt", "cell-1 nuc"])
    ('a', 'cell-1')
    >>> shared_name(["one", "two"])
    'one'
    """
    shared = commonprefix(names)  # noqa: RUF071 (characters are meant)
    if all(name == shared or not name[len(shared)].isalnum() for name in names):
        return shared.rstrip("_-. ") or names[0]
    return re.sub(r"(?:^|[_\-. ]+)[^_\-. ]*$", "", shared) or names[0]


def has_suffix(path: PurePath, suffixes: Iterable[str]) -> bool:
    """Return whether a file's name, without the number of a scene, has one of the suffixes."""
    return re.sub(r"#\d+$", "", path.name).lower().endswith(tuple(suffixes))


def list_passed_over(passed_over: Mapping[Path, str]) -> list[str]:
    """Return a line for each reason to pass files over, with the first of their names."""
    lines = []
    for reason in dict.fromkeys(passed_over.values()):
        files = [path for path, each in passed_over.items() if each == reason]
        advice = found_as_advice(files) if reason.startswith(NO_CHANNEL) else ""
        lines.append(f"passed over ({reason}{advice}): {first_names([*map(str, files)], N_NAMES)}")
    return lines


def found_as_advice(paths: Iterable[PurePath]) -> str:
    """Return the line of params.yaml that gives the numbers in names to channels; "" without any.

    >>> found_as_advice([Path("C2-x.tif"), Path("C1-x.tif")])
    '; to read C1, C2 as channels, set fetch.found_as or serve.found_as: "CHANNEL=C1; CHANNEL=C2"'
    """
    found = {match[0] for path in paths if (match := NUMBER.search(path.name))}
    words = sorted(found, key=lambda word: int(re.sub(r"\D", "", word)))
    pairs = "; ".join(f"CHANNEL={word}" for word in words)
    if not words:
        return ""
    keys = "fetch.found_as or serve.found_as"
    return f'; to read {", ".join(words)} as channels, set {keys}: "{pairs}"'


def words_of(found_as: str | None) -> dict[str, str]:
    """Return the channel of each place that `found_as` states, in small letters.

    >>> words_of("red=C3; green=GFP")
    {'c3': 'red', 'gfp': 'green'}
    """
    return {place.casefold(): channel for channel, place in places(found_as).items()}


def named(
    file_name: str, channels: Channels, pattern: str | None, found_as: str | None
) -> tuple[str, str | None] | str:
    """Return image name and channel as `split_name` does, or the reason to pass the file over."""
    if file_name.startswith("."):
        return HIDDEN
    if not (parts := SUFFIX.fullmatch(file_name)):
        return OTHER_SUFFIX
    stem, scene, suffix = parts["stem"], parts["scene"] or "", parts["suffix"].lower()
    if scene and suffix not in SEVERAL_SUFFIXES:
        return OTHER_SUFFIX
    if pattern:
        found = _by_pattern(file_name, stem, channels, pattern, found_as)
    else:
        ending = _by_ending(stem, channels)
        if ending and ending[1].casefold() not in words_of(found_as):
            found = ending
        else:
            word = _by_word(stem, channels, found_as)
            found = (
                word or ending or _whole(stem, (parts["inner"] or "").lower() + suffix, channels)
            )
    return found if isinstance(found, str) else (found[0] + scene, found[1])


def _by_pattern(
    file_name: str, stem: str, channels: Channels, pattern: str, found_as: str | None
) -> tuple[str, str | None] | str:
    match = re.fullmatch(pattern, stem) or re.fullmatch(pattern, file_name)
    groups = {key: text for key, text in match.groupdict().items() if text} if match else {}
    name = _image_name(match) if match else ""
    if not name:
        return f"the name does not match the pattern {pattern}"
    if not (word := groups.get("channel")):
        return name, None
    stated = words_of(found_as)
    known = {each.casefold(): each for each in channels.names} | stated
    numbers = {str(int(each)): channel for each, channel in stated.items() if each.isdecimal()}
    number = str(int(word)) if word.isdecimal() else ""
    if channel := known.get(word.casefold()) or numbers.get(number):
        return name, channel
    return f"the pattern finds the channel {word}, which found_as does not name"


def _image_name(match: re.Match[str]) -> str:
    """Join name, or else well, and a field outside of it.

    >>> _image_name(re.fullmatch("(?P<name>.+)_DAPI(?P<field>_.+)", "p_A01_DAPI_f2"))
    'p_A01_f2'
    """
    places = match.re.groupindex
    name = "name" if "name" in places and match["name"] else "well"
    parts = [match[name] or ""] if name in places else []
    if "field" in places and match["field"]:
        is_inside = name in places and match.start(name) <= match.start("field") < match.end(name)
        parts += [] if is_inside else [match["field"].lstrip("_- ")]
    return "_".join(filter(None, parts))


def _by_word(stem: str, channels: Channels, found_as: str | None) -> tuple[str, str] | str | None:
    """Read a word of `found_as`; the image's name is what is before and after it."""
    stated = {word: each for word, each in words_of(found_as).items() if not word.isdecimal()}
    if not stated:
        return None
    found = list(_words(tuple(stated)).finditer(stem))
    if not found:
        return None
    if len(found) > 1:
        return TWO_WORDS
    before, after = stem[: found[0].start()], stem[found[0].end() :]
    if (found[0]["number"] or found[0]["wave"]) and after.lower().startswith("_thumb"):
        return THUMBNAIL
    name = before.rstrip("_- ") + after if before.strip("_- ") else after.lstrip("_- ")
    channel = stated[(found[0]["number"] or found[0]["word"]).casefold()]
    if not name or channel not in channels.names:
        return no_channel(channels)
    return name, channel


@cache
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of whole words, the longest first.

    MetaMorph joins number and name: both w2 and GFP stand for the channel of `x_w2GFP.TIF`.
    """
    numbers = "|".join(word for word in words if re.fullmatch(r"w\d{1,2}", word)) or "(?!)"
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(
        rf"(?<![^\W_])(?:(?P<number>{numbers})(?:{GUID}|(?!\d)(?:[^\W\d_][^_]*)?)"
        rf"|(?P<wave>w\d{{1,2}})?(?P<word>{longest_first})(?![^\W_]))",
        re.IGNORECASE,
    )


def _by_ending(stem: str, channels: Channels) -> tuple[str, str] | None:
    if not (match := _pattern(channels).fullmatch(stem)):
        return None
    name, channel = match.groups()
    return name, next(each for each in channels.names if each.casefold() == channel.casefold())


def _whole(stem: str, suffix: str, channels: Channels) -> tuple[str, None] | str:
    """Take a file for a whole image, if its format may hold all channels.

    A number of a channel, as of `C1-x.tif`, may also be a well; OME-TIFF rarely holds one channel.
    """
    is_numbered = suffix in (*SUFFIXES, *TIFF_SUFFIXES) and NUMBER.search(stem)
    may_hold_all = suffix.endswith(SEVERAL_SUFFIXES) or len(channels) == 1
    return (stem, None) if may_hold_all and not is_numbered else no_channel(channels)


@cache
def _pattern(channels: Channels) -> re.Pattern[str]:
    """Return the pattern of name and channel; the shortest name leaves the longest channel."""
    names = "|".join(map(re.escape, channels.names))
    return re.compile(rf"(.+?)[_\- ]({names})", re.IGNORECASE | re.DOTALL)
