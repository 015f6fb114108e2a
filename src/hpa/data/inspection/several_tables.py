"""Several tables of images as one set: `fetch.source: several`, an entry per table."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hpa.config.sections import Fetch
from hpa.data.images.user_files import check_paths
from hpa.data.inspection.arrangement import Arrangement, arrange, readable
from hpa.data.inspection.fetch_settings import shown_path
from hpa.data.inspection.fetched import find_table
from hpa.data.inspection.label_counts import count_labels
from hpa.data.inspection.overlay import Setting
from hpa.data.sources.fetched_labels import FROM_TABLE
from hpa.errors import UserError
from hpa.vocabulary import hpa2018

SEVERAL = "several tables of images, as one set"
T = TypeVar("T")
OF_ENTRY = ("source", "path", "pattern", "label_map")
"""Keys that an entry of fetch.sources states for itself."""


def arrange_all(paths: Sequence[str], fetch: Fetch, stated: Sequence[str]) -> Arrangement:
    """Find the images at some paths, as `arrange` does; several tables are one set.

    Raises:
        UserError: as `arrange`; or there are tables and other files.
    """
    if len(paths) == 1:
        return arrange(paths, fetch, stated)
    check_paths(list(paths))
    with readable(paths):
        tables = [table for each in paths if (table := find_table(Path(each)))]
    labelled = [table for table in tables if "Target" in table.cells]
    if not labelled:
        return arrange(paths, fetch, stated)
    if len(labelled) < len(paths):
        raise UserError(
            "tables of labels and other files are not inspected together",
            expected="tables, or files and folders without any",
            received=f"{len(labelled)} tables with labels among {len(paths)} paths",
            remedy="inspect them apart",
        )
    names = source_names([table.fetch_path for table in labelled])
    return united(dict(zip(names, (arrange([each], fetch, stated) for each in paths), strict=True)))


def united(parts: Mapping[str, Arrangement]) -> Arrangement:
    """Return tables as one set, by the names of the sources; images are named SOURCE/Id."""
    first = next(iter(parts.values()))
    rules = {name: each.channels for name, each in parts.items()}
    problems = [f"{name}: {text}" for name, each in parts.items() for text in each.problems]
    if len({(rule.channels.names, rule.found_as) for rule in rules.values()}) > 1:
        held = "; ".join(
            f"{name} {', '.join(rule.channels.names)} (found_as: {rule.found_as or 'null'})"
            for name, rule in rules.items()
        )
        problems.append(
            f"the tables are no set: their channels differ, or how they are found: {held}. State "
            "them by --fetch.channels and --fetch.found_as, or train on each alone"
        )
    targets = _prefixed({name: each.targets for name, each in parts.items()})
    groups = {
        f"{name}/{image}": f"{name}/{group}" if group == image else group
        for name, each in parts.items()
        for image, group in each.groups.items()
    }
    stated = {each.labels.setting for each in parts.values() if each.labels}
    labels = count_labels(list(targets.values()))
    setting = hpa2018.NAME if stated == {hpa2018.NAME} else FROM_TABLE
    return Arrangement(
        SEVERAL,
        first.channels,
        _prefixed({name: each.images for name, each in parts.items()}),
        first.fetch,
        targets=targets,
        groups=groups,
        labels=labels,
        settings=tuple(_settings(parts, setting)),
        passed_over=tuple(
            f"{line} ({name})" for name, each in parts.items() for line in each.passed_over
        ),
        problems=tuple(problems),
    )


def _settings(parts: Mapping[str, Arrangement], labels: str) -> list[Setting]:
    first = next(iter(parts.values()))
    entries = []
    for name, part in parts.items():
        own = {each.key.removeprefix("fetch."): each.value for each in part.settings}
        kept = {key: own[key] for key in OF_ENTRY if key in own}
        entries.append({"name": name, **kept})
    paths = [Path(entry["path"]).absolute() for entry in entries]
    common = Path(os.path.commonpath([str(each) for each in paths]))
    return [
        Setting("fetch.source", "several", "as one set"),
        Setting("fetch.path", shown_path(common), "in which DVC notices an edit"),
        Setting("fetch.sources", entries, "each row keeps the name of its source"),
        Setting("fetch.labels", labels, "of all tables"),
        *(each for each in first.settings if each.key in ("fetch.channels", "fetch.found_as")),
    ]


def _prefixed(cells: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    return {f"{name}/{key}": value for name, each in cells.items() for key, value in each.items()}


def source_names(paths: Sequence[Path]) -> list[str]:
    """Name sources after their tables or folders, or after the folders of tables of one name.

    >>> source_names([Path("own/plate 7"), Path("own/b/table.csv"), Path("own/c/other.csv")])
    ['plate-7', 'table', 'other']
    >>> source_names([Path("own/p1/map.csv"), Path("own/p2/map.csv"), Path("x/p2/map.csv")])
    ['p1', 'p2', 'p2-2']
    """
    stems = Counter(path.stem for path in paths)
    names: list[str] = []
    for path in paths:
        own = path.stem if stems[path.stem] == 1 else path.absolute().parent.name
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", own).strip("-")[:36] or "source"
        n_before = sum(each == name or each.startswith(f"{name}-") for each in names)
        names.append(f"{name}-{n_before + 1}" if n_before else name)
    return names
