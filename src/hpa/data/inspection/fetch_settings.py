"""Parameters of fetch that labels and channels of files call for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpa.config.sections import Fetch
from hpa.data.inspection.channel_rules import STATED, ChannelRule
from hpa.data.inspection.label_counts import LabelCounts
from hpa.data.inspection.overlay import Setting
from hpa.vocabulary import hpa2018
from hpa.vocabulary.hpa2018 import CHANNELS


def with_settings(fetch: Fetch, settings: Sequence[Setting]) -> Fetch:
    """Return the section with settings; those of other sections are left out."""
    values = [each for each in settings if each.key.startswith("fetch.")]
    return replace(fetch, **{each.key.removeprefix("fetch."): each.value for each in values})


def of_labels(labels: LabelCounts, fetch: Fetch) -> list[Setting]:
    """Return the vocabulary of labels, and the map that it needs."""
    if labels.setting is None:
        return []
    reason = labels.reason or "all are the competition's"
    settings = [Setting("fetch.labels", labels.setting, reason)]
    if labels.label_map or fetch.label_map:
        reason = labels.reason if labels.label_map else "no name needs a map"
        settings.append(Setting("fetch.label_map", labels.label_map, reason))
    return settings


def of_channels(rule: ChannelRule, fetch: Fetch) -> list[Setting]:
    """Return the channels, and how they are found if that is not as params.yaml says."""
    if rule.by == STATED:
        return []
    is_preset = rule.channels == CHANNELS
    value: Any = hpa2018.NAME if is_preset else rule.channels.to_json()
    protein = rule.channels.names[rule.channels.protein]
    left_out = f"; {', '.join(rule.left_out)} left out: no stain" if rule.left_out else ""
    guessed = (
        f"{rule.by}{left_out}; roles and colors are guesses: check that {protein} shows the protein"
    )
    settings = [Setting("fetch.channels", value, rule.by if is_preset else guessed)]
    if rule.found_as or fetch.found_as:
        settings.append(Setting("fetch.found_as", rule.found_as, rule.by))
    return settings


def all_may_lack(rule: ChannelRule) -> Setting:
    """Let images lack any channel but the protein, so that all are looked at."""
    protein = rule.channels.names[rule.channels.protein]
    others = " ".join(name for name in rule.channels.names if name != protein)
    return Setting("fetch.missing_channels", others or None, "")


def shown_path(path: Path) -> str:
    """Return a path as params.yaml has it: relative to the current folder if it is inside."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
