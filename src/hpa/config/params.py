"""All parameters: params.yaml read, overridden and checked as a whole."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hpa.config import sections, validation
from hpa.config.source_list import OF_FILES, source_problems, stated_sources
from hpa.errors import UserError, did_you_mean
from hpa.vocabulary import hpa2018
from hpa.vocabulary.channels import Channels


@dataclass(frozen=True)
class Params(sections.Section):
    """All of params.yaml."""

    fetch: sections.Fetch
    pack: sections.Pack
    split: sections.Split
    model: sections.Model
    loss: sections.Loss
    augment: sections.Augment
    train: sections.Train
    score: sections.Score
    threshold: sections.Threshold
    explain: sections.Explain
    evaluate: sections.Evaluate
    search: sections.Search
    promote: sections.Promote
    serve: sections.Serve
    app: sections.App

    def flat(self) -> dict[str, Any]:
        """Return every value under its dotted key, such as `loss.gamma`."""
        return {
            f"{section}.{key}": value
            for section, values in asdict(self).items()
            for key, value in values.items()
        }


KEYS = validation.keys(Params)
"""Every dotted key of params.yaml."""
SOURCES_EXPECTED = validation.expectations(Params)["fetch.sources"].removesuffix(" or null")


def load_params(path: Path, overrides: Mapping[str, Any] | None = None) -> Params:
    """Read and validate a params.yaml; `overrides` maps dotted keys to values that replace its own.

    Raises:
        UserError: the file is missing or not YAML, or any key is wrong; all keys in one error.
    """
    return params_from_document(_overridden(read_document(path), overrides or {}), str(path))


def read_document(path: Path) -> Any:
    """Read a YAML file without validating its keys.

    Raises:
        UserError: the file is missing, unreadable or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        raise UserError(
            f"{path} {'does not exist' if absent else 'cannot be read'}",
            expected="a YAML file with parameters",
            received=f"{error.strerror}, seen from {Path.cwd()}",
            remedy="run from the repository root, or name another file",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not YAML",
            expected="sections of `key: value` lines",
            received=str(error),
            remedy="fix the line named above",
        ) from error


def changed_params(params: Params, overrides: Mapping[str, Any]) -> Params:
    """Return validated parameters with other values under some dotted keys.

    Raises:
        UserError: any key is wrong; all in one error.
    """
    return params_from_document(_overridden(asdict(params), overrides))


def params_from_document(document: Any, source: str = "the parameters") -> Params:
    """Validate a document such as `dataclasses.asdict(params)`, called `source` in messages.

    Raises:
        UserError: any key is wrong; all in one error.
    """
    params = validation.build(Params, document, source)
    problems = _contradictions(params)
    if problems:
        raise UserError(
            "parameters contradict each other",
            expected=f"consistent values in {source}",
            received="\n    ".join(["", *problems]),
            remedy="change one of the keys of each line above",
        )
    return params


def _contradictions(params: Params) -> list[str]:
    """Describe values that are each allowed but contradict each other."""
    split, loss, train = params.split, params.loss, params.train
    shares = split.test_fraction + split.val_fraction + split.holdout_fraction
    rules = [
        (shares < 1, "split.test_fraction + split.val_fraction + split.holdout_fraction",
         "less than 1"),
        (train.fold < split.n_folds, "train.fold", f"less than split.n_folds ({split.n_folds})"),
        ((train.oversampling == "stated") == (train.repeats is not None), "train.repeats",
         "a text if train.oversampling is 'stated', else null"),
        (loss.name == "focal" or loss.alpha is None, "loss.alpha",
         "null if loss.name is not 'focal'"),
        (train.head_steps < train.n_steps, "train.head_steps",
         f"less than train.n_steps ({train.n_steps})"),
        _scale_rule(params.pack, params.evaluate.image_side_um),
        (train.batch_size % train.n_devices == 0, "train.batch_size",
         f"a multiple of train.n_devices ({train.n_devices})"),
    ]  # fmt: skip
    values = params.flat()
    found = _fetch_problems(params.fetch, "fetch") + _several_problems(params.fetch)
    return found + [
        f"{key}: expected {expected}, received {values.get(key, round(shares, 6))!r}"
        for holds, key, expected in rules
        if not holds
    ]


def _scale_rule(pack: sections.Pack, side_um: float | None) -> tuple[bool, str, str]:
    """Return the rule of the width of packed images: condition, key, and the values expected."""
    key = "evaluate.image_side_um"
    if pack.pixel_size_um is not None:
        width = pack.image_size * pack.pixel_size_um
        expected = f"null, or the {width:g} of pack.image_size and pack.pixel_size_um"
        return side_um is None or math.isclose(side_um, width, rel_tol=1e-3), key, expected
    whole = pack.framing == "none" or side_um is None
    return whole, key, "null if pack.framing is 'content': images differ in scale"


def _several_problems(fetch: sections.Fetch) -> list[str]:
    """Describe entries of fetch.sources that are malformed or contradict themselves."""
    if fetch.source != "several":
        return []
    if not fetch.sources:
        return [f"fetch.sources: expected {SOURCES_EXPECTED}, received {fetch.sources!r}"]
    problems = source_problems(fetch)
    for number, (found, entry) in enumerate(zip(problems.values(), fetch.sources, strict=True)):
        if not found:
            own = next(iter(stated_sources(replace(fetch, sources=[entry])).values()))
            found += _fetch_problems(own, f"fetch.sources[{number}]", within=True)
    if not any(problems.values()) and len(sets := _of_set_percentile(fetch)) > 1:
        return [
            "fetch.depth: expected set_percentile of one source, as limits are those of a set of "
            f"files, received it for {', '.join(sets)}"
        ]
    return [line for found in problems.values() for line in found]


def _of_set_percentile(fetch: sections.Fetch) -> list[str]:
    return [
        name
        for name, each in stated_sources(fetch).items()
        if each.depth == "set_percentile" and each.source in OF_FILES
    ]


def _fetch_problems(fetch: sections.Fetch, place: str, *, within: bool = False) -> list[str]:
    """Describe contradictions of section fetch, or of one source `within` several."""
    path, source = fetch.path.lower(), repr(fetch.source)
    maps = (fetch.label_map or "atlas.csv").lower().split(";")
    own = fetch.source in ("local", "hpa", "several")
    labels = fetch.labels in (hpa2018.NAME, "from_table") or fetch.labels.lower().endswith(".csv")
    rules = [
        (fetch.source != "local" or not path.endswith(".md"), "path",
         "a folder or a table (.csv) if fetch.source is 'local'"),
        (fetch.source != "hpa" or path.endswith(".csv"), "path",
         "a table (.csv) if fetch.source is 'hpa'"),
        (within or labels, "labels",
         "hpa2018, from_table, or a table (.csv) of number and name"),
        (own or within or fetch.labels == hpa2018.NAME, "labels",
         f"hpa2018 if fetch.source is {source}"),
        (fetch.source in ("local", "several") or fetch.channels == hpa2018.NAME, "channels",
         f"hpa2018 if fetch.source is {source}"),
        (all(each.strip() == "atlas" or each.strip().endswith(".csv") for each in maps),
         "label_map", "atlas, a table (.csv) of from and to, or several separated by ;"),
        (own or within or fetch.label_map is None, "label_map",
         f"null if fetch.source is {source}"),
    ]  # fmt: skip
    return [
        f"{place}.{key}: expected {expected}, received {getattr(fetch, key)!r}"
        for holds, key, expected in rules
        if not holds
    ] + _channel_problems(fetch, place)


def _channel_problems(fetch: sections.Fetch, place: str) -> list[str]:
    """Describe channels that cannot be, and missing ones that are none of them."""
    try:
        channels = fetched_channels(fetch.channels)
    except ValueError as error:
        return [f"fetch.channels: {error}"]
    absent = (fetch.missing_channels or "").split()
    may_be = [name for name in channels.names if name != channels.names[channels.protein]]
    problems = _place_problems(fetch.found_as, channels, place)
    if fetch.missing_channels is None or (absent and set(absent) <= set(may_be)):
        return problems
    return [
        *problems,
        f"{place}.missing_channels: expected null, or some of {' '.join(may_be) or 'no channel'} "
        f"(the protein cannot be missing), received {fetch.missing_channels!r}",
    ]


def _place_problems(found_as: str | None, channels: Channels, place: str) -> list[str]:
    """Describe places of channels that do not exist, and one place of two channels."""
    pairs = [each.split("=", 1) for each in (found_as or "").split(";") if each.strip()]
    unknown = [name.strip() for name, _ in pairs if name.strip() not in channels.names]
    words = [word.strip().casefold() for _, word in pairs]
    twice = [word for word in dict.fromkeys(words) if words.count(word) > 1]
    return [
        f"{place}.found_as: expected {expected}, received {found_as!r}"
        for expected, wrong in (
            (f"channels of fetch.channels ({', '.join(channels.names)})", unknown),
            ("another place for each channel", twice),
        )
        if wrong
    ]


def fetched_channels(channels: str | list[dict[str, str]]) -> Channels:
    """Return the channels that `fetch.channels` states.

    Raises:
        ValueError: the list is malformed.
    """
    return hpa2018.CHANNELS if channels == hpa2018.NAME else Channels.from_json(channels)  # type: ignore[arg-type]


def full_key(name: str) -> str:
    """Resolve a dotted key or its unique short form: `gamma` is `loss.gamma`.

    Raises:
        UserError: no key has this name, or several share it.
    """
    found = [key for key in KEYS if name in (key, key.partition(".")[2])]
    if len(found) == 1:
        return found[0]
    replaced = validation.REPLACED.get(name) or next(
        (text for key, text in validation.REPLACED.items() if key.endswith(f".{name}")), ""
    )
    raise UserError(
        f"--{name} is {'ambiguous' if found else 'not a parameter'}",
        expected="a dotted key of params.yaml, or its last word if only one key has it",
        received=f"--{name}{f', {replaced}' if replaced else ''}"
        f"{'' if found or replaced else did_you_mean(name, KEYS)}",
        remedy=f"write one of {', '.join(f'--{key}' for key in found)}"
        if found
        else "see --help for the keys",
    )


def means(key: str, text: str, value: Any) -> bool:
    """Tell whether a text, read as on the command line, gives a parameter this value."""
    try:
        return bool(validation.convert(Params, key, yaml.safe_load(text)) == value)
    except (yaml.YAMLError, ValueError, LookupError):
        return False


def short_key(key: str) -> str:
    """Return the last word of a dotted key if only one key has it, else the key itself."""
    name = key.partition(".")[2]
    return name if sum(each.partition(".")[2] == name for each in KEYS) == 1 else key


def _overridden(document: Any, overrides: Mapping[str, Any]) -> Any:
    """Replace values; leave a malformed document or section as it is, for validation to refuse."""
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if isinstance(document, Mapping) and isinstance(document.get(section, {}), Mapping):
            document = {**document, section: {**document.get(section, {}), name: value}}
    return document
