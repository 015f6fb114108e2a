"""Inspection of a user's files: all that is found, what would be refused, what to set."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpa.config.params import Params, changed_params
from hpa.config.sections import Fetch
from hpa.data.images.reading import ReadingRules
from hpa.data.inspection.arrangement import FILES, Arrangement
from hpa.data.inspection.copies import Copies, find_copies
from hpa.data.inspection.faults import BLURRED, KINDS, blurred
from hpa.data.inspection.fetch_settings import with_settings
from hpa.data.inspection.fetched import fetched_images
from hpa.data.inspection.measuring import Measured
from hpa.data.inspection.overlay import Setting
from hpa.data.inspection.reading_all import are_cut_out, measure_all
from hpa.data.inspection.several_tables import SEVERAL, arrange_all
from hpa.data.inspection.suggestions import suggest
from hpa.data.sources.reading_rules import reading_rules
from hpa.errors import UserError

SECTIONS = ("fetch", "pack", "split")
OWN_FILES = {"fetch.source": "local", "fetch.path": "own", "fetch.sources": None}
"""Parameters that the present ones must not contradict."""


@dataclass(frozen=True)
class Inspection:
    """All that an inspection found.

    Attributes:
        paths: as the user wrote them.
        arrangement: which images there are, and how fetch finds them.
        images: the measured images, in order.
        copies: groups of near copies, the largest first.
        faults: image and what is odd, by kind; see `faults.KINDS`.
        settings: the lines of params.yaml.
        rules: by which the images were read.
        framed: whether they are cut out on black.
        n_files, n_bytes: that were read.
        seconds: that it took.
    """

    paths: tuple[str, ...]
    arrangement: Arrangement
    images: list[Measured]
    copies: list[Copies]
    faults: dict[str, list[tuple[str, str]]]
    settings: list[Setting]
    rules: ReadingRules
    framed: bool
    n_files: int
    n_bytes: int
    seconds: float

    @property
    def place(self) -> str:
        """The paths in one text."""
        return " ".join(self.paths)

    @property
    def used(self) -> list[Measured]:
        """Images that are read."""
        return [each for each in self.images if each.refusal is None]

    @property
    def refused(self) -> list[Measured]:
        """Images that fetch and predict refuse."""
        return [each for each in self.images if each.refusal is not None]

    @property
    def is_usable(self) -> bool:
        """Whether nothing would be refused."""
        return not self.refused and not self.arrangement.problems


def inspect(
    paths: Sequence[str],
    present: Params,
    stated: Mapping[str, Any] | None = None,
    *,
    n_jobs: int = -1,
) -> Inspection:
    """Look at a user's files; nothing is written.

    Args:
        paths: a folder, a table, files or globs.
        present: the parameters of params.yaml.
        stated: values under dotted keys that replace them: they are kept.
        n_jobs: number of processes; -1 for one per core.

    Raises:
        UserError: a stated value is wrong, or there is nothing at a path, or no image.
    """
    start = time.monotonic()
    stated = stated or {}
    params = changed_params(present, OWN_FILES | dict(stated))
    arrangement = arrange_all(paths, params.fetch, list(stated))
    z = "max" if params.fetch.z == "refuse" and "fetch.z" not in stated else params.fetch.z
    rules = _reading_rules(replace(arrangement.fetch, z=z))
    framed = are_cut_out(arrangement.images, rules)
    images = measure_all(arrangement.images, rules, framed=framed, n_jobs=n_jobs)
    own = {each.key for each in arrangement.settings}
    is_right = present.fetch.sources is None or "fetch.sources" in own
    alone = [] if is_right else [Setting("fetch.sources", None, "these files alone")]
    proposed = [*arrangement.settings, *suggest(images, params, framed=framed), *alone]
    as_stated = [Setting(key, params.flat()[key], "as stated") for key in stated]
    settings = [each for each in proposed if each.key not in stated] + as_stated
    settings.sort(key=lambda each: SECTIONS.index(each.key.partition(".")[0]))
    files = {path for sources in arrangement.images.values() for path in sources.values()}
    return Inspection(
        paths=tuple(paths),
        arrangement=_judged(arrangement, settings),
        images=images,
        copies=find_copies(images, arrangement.groups, params.split.hash_distance),
        faults=_faults(images, rules.channels.names),
        settings=settings,
        rules=rules,
        framed=framed,
        n_files=len(files),
        n_bytes=sum(path.stat().st_size for path in files if path.is_file()),
        seconds=time.monotonic() - start,
    )


def _reading_rules(fetch: Fetch) -> ReadingRules:
    """Return the rules of fetch; the limits of set_percentile are not known yet."""
    is_set = fetch.depth == "set_percentile"
    return reading_rules(replace(fetch, depth="percentile") if is_set else fetch)


def _judged(arrangement: Arrangement, settings: Sequence[Setting]) -> Arrangement:
    """Add what fetch, with the settings, refuses of the whole."""
    n_channels = len(arrangement.channels.channels)
    lacks = any(len(sources) < n_channels for sources in arrangement.images.values())
    if arrangement.kind in (FILES, SEVERAL) or arrangement.problems or not lacks:
        return arrangement
    try:
        fetched_images(with_settings(arrangement.fetch, settings))
    except UserError as error:
        return replace(arrangement, problems=(str(error),))
    return arrangement


def _faults(images: Sequence[Measured], names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Collect the faults by kind, the gravest first."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    for each in images:
        for kind, detail in each.faults.items():
            found[kind].append((each.name, detail))
    used = [each for each in images if each.focus]
    if used:
        focus = np.array([each.focus for each in used])
        found[BLURRED] = [(used[row].name, text) for row, text in blurred(focus, names).items()]
    return {kind: rows for kind, rows in found.items() if rows}
