"""Source `several`: images of other sources as one set, in one folder of Kaggle's layout.

Each source is fetched into a folder of its own, whose files are then moved: pixels are written
once. The column `source` of the CSVs names the source of each image.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import antibodies
from hpa.data.packed.vocabulary import read_vocabulary, write_vocabulary
from hpa.data.sources.fetched_labels import unused
from hpa.data.sources.found import Found
from hpa.data.sources.label_map import without_dropped
from hpa.data.sources.layout import write_tables
from hpa.errors import UserError, first_names
from hpa.system.files import atomic_path
from hpa.system.progress import progress
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

ORDER = ("local", "hpa", "kaggle", "synthetic")
"""In which sources are fetched: what may be refused comes before what is downloaded."""
KEEPS_IDS = "kaggle"
"""A submission to the competition needs its Ids."""


@dataclass(frozen=True)
class Source:
    """Images that are ready to be fetched.

    Attributes:
        kind: the value of `fetch.source`.
        find: checks what can be known before a download, and returns the images of its table, or
            None if it has none yet.
        write: writes these images into a folder in Kaggle's layout; returns what its files held.
        labels: read the cells of the table.
        path: the folder or table that is read; None for others.
    """

    kind: str
    find: Callable[[], pd.DataFrame | None]
    write: Callable[[Path, Any], Found | None]
    labels: Labels
    path: Path | None = None


@contextmanager
def named(name: str) -> Iterator[None]:
    """Name the source in the errors of a block."""
    try:
        yield
    except UserError as error:
        raise error.within(f"source {name}") from error


def fetch_several(
    raw_dir: Path, sources: Mapping[str, Source], vocabulary: Vocabulary, watched: Path
) -> Found:
    """Fetch sources as one set, whole or not at all.

    Images of two sources are in one group if an equal group is stated for them, or if they are of
    one antibody of the atlas. An Id that several sources have gets the name of the source in front,
    `plate8_A01`, except in the first source of the competition, whose submissions need its Ids.

    Args:
        raw_dir: the folder to write; an older one is replaced.
        sources: by name, in the order of the rows.
        vocabulary: labels and channels of all.
        watched: the path in which DVC notices an edit.

    Returns:
        What the files held, of all sources.

    Raises:
        UserError: a source is unavailable or invalid, or Ids cannot be told apart.
    """
    for name, source in sources.items():
        if source.path and not source.path.resolve().is_relative_to(watched.resolve()):
            print(
                f"{source.path} of source {name} is outside {watched}, the path that DVC watches "
                "(fetch.path): after an edit of it, run dvc repro --force fetch"
            )
    listed, found, parts = {}, {}, {}
    for name, source in sources.items():
        with named(name):
            listed[name] = source.find()
    with atomic_path(raw_dir) as folder:
        folder.mkdir()
        for name in sorted(sources, key=lambda name: ORDER.index(sources[name].kind)):
            part = folder / ".sources" / name
            print(f"source {name}:")
            with named(name):
                found[name] = sources[name].write(part, listed[name])
                parts[name] = _read_part(part, name, sources[name], listed[name], vocabulary.labels)
        kinds = {name: source.kind for name, source in sources.items()}
        images = merged({name: parts[name] for name in sources}, kinds)
        _move(images, folder, vocabulary.channels.names)
        write_tables(folder, images)
        write_vocabulary(folder, vocabulary)
        shutil.rmtree(folder / ".sources")
    for line in _summary(images, vocabulary.labels):
        print(line)
    return _united([each for each in found.values() if each])


def merged(parts: Mapping[str, pd.DataFrame], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the images of all sources, with Ids that differ and groups across sources.

    Args:
        parts: by the name of the source: `Id`, `Target`, `labelled`, `folder`, `group`, `stated`
            (the group of the table or ""), `antibody` (or the Id), and facts.
        kinds: the value of `fetch.source` of each.

    Raises:
        UserError: Ids are equal after the names of sources are put in front.
    """
    tables = [table.assign(source=name) for name, table in parts.items()]
    images = pd.concat(tables, ignore_index=True).fillna("")
    images["old_id"] = images["Id"]
    images["Id"] = _distinct_ids(images, kinds)
    images["group"] = _groups(images)
    return images


def _read_part(
    folder: Path, name: str, source: Source, listed: pd.DataFrame | None, labels: Labels
) -> pd.DataFrame:
    """Read the table of a fetched source, with labels of the one vocabulary."""
    own = read_vocabulary(folder).labels
    images = catalogue.read_tables(folder, own)
    if listed is None:  # a table of the competition's numbers
        names = [[own.names[column] for column in own.parse(each)] for each in images["Target"]]
        images["Target"] = [labels.format(source.labels.split(";".join(each))[0]) for each in names]
        images["antibody"] = antibodies(list(images["Id"]))
        images = without_dropped(images, f"source {name}")
    else:
        known = listed.set_index("Id")
        default = pd.Series(antibodies(list(known.index)), index=known.index)
        images["stated"] = images["Id"].map(known["stated"])
        images["antibody"] = images["Id"].map(known.get("antibody", default))
    return images.assign(part=str(folder))


def _distinct_ids(images: pd.DataFrame, kinds: Mapping[str, str]) -> pd.Series:
    """Put the name of the source in front of Ids that several sources have."""
    n_sources = images.groupby("Id")["source"].transform("nunique")
    first = next((name for name, kind in kinds.items() if kind == KEEPS_IDS), None)
    renamed = (n_sources > 1) & (images["source"] != first)
    ids = images["Id"].where(~renamed, images["source"] + "_" + images["Id"])
    if ids.duplicated().any():
        equal = list(ids[ids.duplicated()].unique())
        raise UserError(
            "Ids of several sources are equal, also with the source's name in front",
            expected="Ids that differ",
            received=f"{len(equal)}: {first_names(equal)}",
            remedy="give one of the sources another name in fetch.sources",
        )
    catalogue.check_ids(pd.DataFrame({"Id": ids}), "fetch.sources")
    return ids


def _groups(images: pd.DataFrame) -> list[str]:
    """Name the groups: those within a source, united by equal stated groups and antibodies.

    A name occurs in one group alone, and never as the Id of an image outside it: equal Ids of two
    sources unite nothing.
    """
    rows = np.arange(len(images))
    is_kin = images["antibody"] != images["old_id"]
    within = images["source"] + "\0" + images["group"]
    links = [(images["stated"] != "", "stated"), (is_kin, "antibody")]
    stated, antibody = ((rows[mask], "\0" + images[column][mask]) for mask, column in links)
    keys = pd.factorize(pd.concat([within, stated[1], antibody[1]]))[0] + len(images)
    ends = (np.concatenate([rows, stated[0], antibody[0]]), keys)
    shape = (len(images) + len(keys),) * 2
    graph = coo_array((np.ones(len(keys)), ends), shape=shape)
    number = connected_components(graph, directed=False)[1][: len(images)]
    return _names(images.assign(number=number, is_kin=is_kin))


def _names(images: pd.DataFrame) -> list[str]:
    """Return the name of each row's group: a stated group, an antibody, or else its own."""
    members: dict[int, list[dict[Any, Any]]] = defaultdict(list)
    for row in images.to_dict("records"):
        members[row["number"]].append(row)
    names, taken = {}, set(images["Id"])
    for number, rows in members.items():
        kin = [row["stated"] or (row["is_kin"] and row["antibody"]) for row in rows]
        first, ids = rows[0], {row["Id"] for row in rows}
        own = first["Id"] if first["group"] == first["old_id"] else first["group"]
        name = next(filter(None, kin), own)
        while name in taken and name not in ids:
            name = f"{first['source']}_{name}"
        taken.add(name)
        names[number] = name
    return [names[number] for number in images["number"]]


def _move(images: pd.DataFrame, folder: Path, channels: tuple[str, ...]) -> None:
    """Move the files of each image out of the folder of its source."""
    for name in images["folder"].unique():
        (folder / name).mkdir()
    places = list(images[["part", "folder", "old_id", "Id"]].itertuples(index=False, name=None))
    for part, name, old_id, new_id in progress(places, what="move"):
        for channel in channels:
            old = catalogue.channel_path(Path(part) / name, old_id, channel)
            old.rename(catalogue.channel_path(folder / name, new_id, channel))


def _summary(images: pd.DataFrame, labels: Labels) -> list[str]:
    """Say how many images each source gives, which Ids changed and which groups hold several."""
    lines = [
        f"source {name}: {rows['labelled'].sum()} labelled images, {(~rows['labelled']).sum()} "
        "without labels"
        for name, rows in images.groupby("source", sort=False)
    ]
    renamed = images[images["Id"] != images["old_id"]]
    if len(renamed):
        lines.append(
            f"{len(renamed)} Ids occur in several sources and got the source's name in front: "
            + first_names(list(renamed["Id"]))
        )
    across = (images.groupby("group")["source"].nunique() > 1).sum()
    if across:
        lines.append(f"{across} groups hold images of several sources")
    return lines + [line for line in [unused(labels, images["Target"])] if line]


def _united(found: list[Found]) -> Found:
    """Unite what the files of sources held; at most one has limits of set_percentile."""
    if not found:
        return {}
    united: dict[str, Any] = {"types": sorted({each for part in found for each in part["types"]})}
    return united | {key: part[key] for part in found for key in part if key != "types"}
