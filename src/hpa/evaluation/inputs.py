"""Inputs of an evaluation, read and refused if they do not belong together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.vocabulary import FILE_NAME as VOCABULARY
from hpa.data.packed.vocabulary import read_vocabulary, vocabulary_of
from hpa.errors import UserError
from hpa.metrics.origins import (
    Origin,
    network_of,
    require_present_networks,
    require_same_origin,
    require_same_vocabulary,
)
from hpa.metrics.predictions import Scores
from hpa.system.files import read_json, sha256
from hpa.thresholds.decisions import Thresholds
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.vocabulary.labels import Labels

SPLITS, REQUIRED = ("val", "test", "holdout", "unlabelled"), ("val", "test")
REMEDY = "run the stages in their order: dvc repro; by hand: score, threshold, explain, evaluate"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Scores, and the thresholds that were fitted to `val`.

    Attributes:
        thresholds, val, test: what is evaluated.
        networks: provenance of each network behind the scores.
        run_id: run of the thresholds, "" if unknown.
        origin: what made the thresholds, with their digest.
        ids: image names by split, of every file of scores.
    """

    thresholds: Thresholds
    val: Scores
    test: Scores
    networks: list[dict[str, Any]]
    run_id: str
    origin: Origin
    ids: Mapping[str, np.ndarray]


def read_inputs(thresholds_path: Path, scores_dir: Path) -> Inputs:
    """Read thresholds and scores.

    Raises:
        UserError: a file is absent or damaged, the thresholds were fitted to other scores, or the
            scores were made by other networks, settings or data than each other.
    """
    thresholds, beside = read_thresholds(thresholds_path)
    networks: list[dict[str, Any]] = read_json(scores_dir / "networks.json")
    paths = {name: scores_dir / f"{name}.npz" for name in SPLITS}
    present = [name for name in SPLITS if name in REQUIRED or paths[name].is_file()]
    scores = {name: Scores.read(paths[name]) for name in present}
    val, val_path = scores["val"], paths["val"]
    for name, each in scores.items():
        _require_labels(thresholds.labels, thresholds_path, each.labels, paths[name])
    for network in networks:
        labels = vocabulary_of(network).labels
        _require_labels(labels, scores_dir / "networks.json", val.labels, val_path)
    made_by = replace(val.made_by, scores_sha256="")
    _require(beside["origin"], thresholds_path, val.made_by, val_path)
    for name, each in scores.items():
        _require(made_by, val_path, replace(each.made_by, scores_sha256=""), paths[name])
    _require(made_by, val_path, _described(networks, made_by), scores_dir / "networks.json")
    require_present_networks(made_by, str(val_path))
    ids = {name: each.ids for name, each in scores.items()}
    return Inputs(
        thresholds, val, scores["test"], networks, beside["run_id"], beside["origin"], ids
    )


def require_scored_data(inputs: Inputs, packed_dir: Path, split_dir: Path) -> None:
    """Refuse scores of other images, labels or another split than those at hand.

    Raises:
        UserError: the digest of the index or of the assignment differs, or a file of scores holds
            images of another split than its name says.
    """
    for path in (packed_dir / "index.csv", split_dir / "assignment.csv"):
        if path.is_file():
            present = Origin(data={path.name: sha256(path)})
            _require(inputs.val.origin, Path("the scores"), present, path)
    packed = packed_dir / VOCABULARY
    if packed.is_file():
        _require_labels(read_vocabulary(packed_dir).labels, packed, inputs.val.labels, "the scores")
    split = read_assignment(split_dir).set_index("Id")["split"]
    for name, ids in inputs.ids.items():
        allowed = ("val", "train") if name == "val" else (name,)  # val of a fold is train of others
        wrong = split[split.index.isin(ids) & ~split.isin(allowed)]
        if len(wrong):
            raise UserError(
                f"the scores of {name} hold images of another split",
                expected=f"images that {split_dir}/assignment.csv assigns to {name}",
                received=f"{len(wrong)} of {len(ids)} images of {', '.join(wrong.unique())}, such "
                f"as {wrong.index[0]}",
                remedy="score again: dvc repro; by hand: score, threshold, explain, evaluate",
            )


def require_same_thresholds(made_by: Origin, name: Path, inputs: Inputs) -> None:
    """Refuse pictures that were drawn with other thresholds or another network.

    Raises:
        UserError: they differ.
    """
    _require(made_by, name, inputs.origin, Path("the thresholds"))


def _described(networks: list[dict[str, Any]], origin: Origin) -> Origin:
    """Describe the provenance of networks, which names no files, like an origin that does."""
    files = [each.get("file", "") for each in origin.networks]
    if len(files) != len(networks):
        files = ["network"] * len(networks)
    pairs = zip(files, networks, strict=True)
    return Origin(networks=tuple(network_of(file, each) for file, each in pairs))


def _require_labels(a: Labels, name_a: Path, b: Labels, name_b: Path | str) -> None:
    require_same_vocabulary(a, b, names=(str(name_a), str(name_b)), remedy=REMEDY)


def _require(a: Origin, name_a: Path, b: Origin, name_b: Path) -> None:
    require_same_origin(a, b, names=(str(name_a), str(name_b)), remedy=REMEDY)
