"""Facts at the top of the pages: data, date, code, runs, and parameters that differ from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa.metrics.origins import Origin
from hpa.reports.training_curve import History

SOURCES = {
    "synthetic": "simulated images, so the results show that the system works, not how well it "
    "reads real cells",
    "kaggle": "the competition Human Protein Atlas Image Classification (2018)",
    "hpa": "the public Human Protein Atlas",
    "local": "your own files",
    "several": "several sources",
}
ODD_SIZES = {
    "pad": ["padded to a square"],
    "crop": ["cropped to the middle"],
    "middle": ["larger images cut to their middle, smaller ones padded with black"],
    "tiles": ["divided into tiles, each of which counts as an image"],
}
UNKNOWN = "unknown"
UNSCALED = "found.n_without_pixel_size"
"""Number of images that `pack` could not scale to `pack.pixel_size_um`."""
NO_SCALE_BAR = (
    "No scale bar: simulated images have no pixel size.",
    "No scale bar: the pixel size is unknown; evaluate.image_side_um states it.",
)
"""Why pages have no scale bar, of simulated images and of others."""


@dataclass(frozen=True)
class RunFacts:
    """Description of what made a result.

    Attributes:
        entries: (term, text) in the order of the page; "unknown" where no file says it.
        changed: (key, value, committed value) of each parameter that differs.
        unchanged: the sentence where none does, or why that is unknown; "" otherwise.
        histories: rounds of each training, of which earlier versions told none.
        image_side_um: width and height of the images in micrometres; None if unknown.
        no_scale_bar: why it is None.
    """

    entries: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    unchanged: str
    histories: list[History]
    image_side_um: float | None
    no_scale_bar: str


def run_facts(
    networks: Sequence[Mapping[str, Any]],
    origin: Origin,
    params: Mapping[str, Any],
    committed: Mapping[str, Any],
    *,
    run_id: str,
) -> RunFacts:
    """Return the facts about an evaluation.

    Args:
        networks: the provenance of each network, in which earlier versions said less.
        origin: of the thresholds.
        params: what was in force, by dotted key; of several networks, what they share.
        committed: `params.yaml` of the networks' commit, by dotted key; empty if unknown.
        run_id: of the evaluation, "" if unknown.
    """
    lineages = [each.get("lineage", {}) for each in networks]
    entries = [
        ("Data", source_in_words(params.get("fetch.source"), params.get("fetch.sources"))),
        *_read_as(params),
        ("Trained", _joined(_date(each.get("trained_at")) for each in networks)),
        ("Code", _joined(map(code_in_words, lineages))),
        ("Run", run_id or UNKNOWN),
        ("Training", _joined(each.get("run_id") for each in networks)),
        ("Network", _joined(_network(each) for each in origin.networks)),
        ("Thresholds", _digest(origin.thresholds_sha256)),
    ]
    if run_id and run_id == _joined(each.get("run_id") for each in networks):
        entries = [each for each in entries if each[0] != "Training"]
    side_um = params.get("evaluate.image_side_um")
    return _facts(entries, networks, params, committed, side_um, _histories(networks, origin))


def data_facts(
    params: Mapping[str, Any],
    committed: Mapping[str, Any],
    lineage: Mapping[str, str],
    *,
    images: str,
    written_at: str,
    image_side_um: float | None,
) -> RunFacts:
    """Return the facts about packed images.

    Args:
        params: what made them, by dotted key.
        committed: `params.yaml` of the commit, by dotted key; empty if unknown.
        lineage: of the code that writes the page.
        images: their number, size and digest in words.
        written_at: date of the page.
        image_side_um: see `RunFacts`.
    """
    entries = [
        ("Data", source_in_words(params.get("fetch.source"), params.get("fetch.sources"))),
        *_read_as(params),
        ("Images", images),
        ("Page", _date(written_at)),
        ("Code", code_in_words(lineage)),
    ]
    return _facts(entries, (), params, committed, image_side_um, [])


def _facts(
    entries: list[tuple[str, str]],
    networks: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    committed: Mapping[str, Any],
    side_um: float | None,
    histories: list[History],
) -> RunFacts:
    """Add what differs from the commit, and why there is no scale bar."""
    changed = _changed(networks, params, committed)
    unchanged = "" if changed else _unchanged(params, committed)
    side_um = side_um or _side_um(params)
    no_bar = "" if side_um else _no_scale_bar(params)
    return RunFacts(entries, changed, unchanged, histories, side_um, no_bar)


def _no_scale_bar(params: Mapping[str, Any]) -> str:
    if params.get("pack.pixel_size_um") and (n_unscaled := params.get(UNSCALED)):
        return f"No scale bar: the pixel size is unknown for {n_unscaled} of the images."
    return NO_SCALE_BAR[params.get("fetch.source") != "synthetic"]


def _side_um(params: Mapping[str, Any]) -> float | None:
    """Return the width of images that were all scaled to `pack.pixel_size_um`.

    >>> _side_um({"pack.pixel_size_um": 0.65, "pack.image_size": 96})
    62.4
    """
    pixel_size_um = params.get("pack.pixel_size_um")
    if pixel_size_um is None or params.get(UNSCALED):
        return None
    return round(pixel_size_um * params["pack.image_size"], 6)


def source_in_words(source: object, sources: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Describe where images come from; `sources` are the entries of fetch.sources.

    >>> source_in_words("several", [{"name": "plate7", "source": "local"}])
    'several sources: plate7 (your own files)'
    """
    named = [f"{each['name']} ({source_in_words(each['source'])})" for each in sources or ()]
    of_several = f": {'; '.join(named)}" if source == "several" and named else ""
    return SOURCES.get(str(source), UNKNOWN) + of_several


def _read_as(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entry of how images are read and framed; none if they are taken as they are."""
    text = "; ".join([*_depth_in_words(params), *_framing_in_words(params)])
    return [("Read as", text)] if text else []


def _depth_in_words(params: Mapping[str, Any]) -> list[str]:
    """Describe conversions to 8 bits, slices, and places of channels.

    >>> _depth_in_words({"found.types": ["uint16", "uint8"], "fetch.depth": 4095, "fetch.z": "max"})
    ['uint16 values to 8 bits by depth 4095', 'slices: max']
    """
    params = {**params, **params.get("found.of_sources", {})}
    types = ", ".join(each for each in params.get("found.types", ()) if each != "uint8")
    depth, places = params.get("fetch.depth"), params.get("fetch.found_as")
    percentiles = f" ({params.get('fetch.percentiles')})" * str(depth).endswith("percentile")
    slices = params.get("fetch.z", "refuse")
    return [
        *[f"{types} values to 8 bits by depth {depth}{percentiles}"] * bool(types),
        *[f"slices: {slices}"] * (slices not in ("refuse", None)),
        *[f"channels: {places}"] * bool(places),
    ]


def _framing_in_words(params: Mapping[str, Any]) -> list[str]:
    """Describe how images become the squares that a network sees.

    >>> _framing_in_words({"pack.pixel_size_um": 0.6, UNSCALED: 4})
    ['scaled to 0.6 µm per pixel, but for 4 of unknown size']
    """
    pixel_size_um, n_unscaled = params.get("pack.pixel_size_um"), params.get(UNSCALED)
    odd_size = str(params.get("pack.odd_size"))
    if pixel_size_um and odd_size in ("pad", "crop"):
        odd_size = "middle"
    unscaled = f", but for {n_unscaled} of unknown size" if n_unscaled else ""
    return [
        *[f"scaled to {pixel_size_um} µm per pixel{unscaled}"] * bool(pixel_size_um),
        *["framed on their content"] * (params.get("pack.framing") == "content"),
        *ODD_SIZES.get(odd_size, ()),
    ]


def code_in_words(lineage: Mapping[str, str]) -> str:
    """Describe the code of a run by its lineage.

    >>> code_in_words({"git.commit": "2147a10", "git.dirty": "true"})
    'commit 2147a10, with uncommitted changes'
    """
    commit, dirty = lineage.get("git.commit", ""), lineage.get("git.dirty")
    if not commit:
        return UNKNOWN
    if commit.startswith("sha256:"):
        return f"no commit; SHA-256 {commit.removeprefix('sha256:')}"
    words = {"true": ", with uncommitted changes", "false": ", unchanged"}
    return f"commit {commit}{words.get(str(dirty), '')}"


def _changed(
    networks: Sequence[Mapping[str, Any]], params: Mapping[str, Any], committed: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Return key, value and committed value where they differ, also among networks."""
    found = {key: str(value) for key, value in params.items() if committed.get(key, value) != value}
    trained_with = [each.get("params", {}) for each in networks]
    for key in dict.fromkeys(key for each in trained_with for key in each):
        values = [str(each.get(key, UNKNOWN)) for each in trained_with]
        if len(set(values)) > 1:
            found[key] = ", ".join(values)
    return [(key, value, str(committed.get(key, UNKNOWN))) for key, value in sorted(found.items())]


def bar_um(side_um: float) -> float:
    """Return the length of a scale bar: 1, 2 or 5 times a power of ten, up to a quarter.

    >>> bar_um(164.0), bar_um(21.0), bar_um(3.0)
    (20.0, 5.0, 0.5)
    """
    lengths = (step * 10.0**power for power in range(5, -5, -1) for step in (5, 2, 1))
    return next((each for each in lengths if each <= side_um / 4), side_um / 4)


def bar_share(picture: np.ndarray, side_um: float | None) -> float | None:
    """Return the share of a row of square panels [S,W,3] that a scale bar takes; None without."""
    return bar_um(side_um) / side_um * picture.shape[0] / picture.shape[1] if side_um else None


def _histories(networks: Sequence[Mapping[str, Any]], origin: Origin) -> list[History]:
    names = [each.get("path", "") for each in origin.networks]
    if len(networks) == 1 or len(set(names)) < len(networks):
        names = [str(number) for number in range(1, len(networks) + 1)] if networks[1:] else [""]
    pairs = zip(names, networks, strict=True)
    return [found for found in (History.of(*pair) for pair in pairs) if found]


def _unchanged(params: Mapping[str, Any], committed: Mapping[str, Any]) -> str:
    if not committed:
        return "unknown, because the commit of the training is not in this repository"
    return "as committed" if params.keys() & committed.keys() else UNKNOWN


def _date(text: str | None) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC") if text else UNKNOWN


def _network(network: Mapping[str, str]) -> str:
    file = network.get("path") or network.get("file") or UNKNOWN
    return f"{file}, {_digest(network.get('weights_sha256', ''))}"


def _digest(digest: str) -> str:
    return f"SHA-256 {digest[:12]}" if digest else UNKNOWN


def _joined(texts: Iterable[object]) -> str:
    """Join different texts; the empty ones are unknown."""
    known = (UNKNOWN if each in ("", None) else str(each) for each in texts)
    return "; ".join(dict.fromkeys(known)) or UNKNOWN
