"""Inputs of an evaluation, read and refused if they do not belong together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpa.metrics.origins import (
    Origin,
    network_of,
    require_present_networks,
    require_same_origin,
)
from hpa.metrics.predictions import Scores
from hpa.system.files import read_json, sha256
from hpa.thresholds.decisions import Thresholds
from hpa.thresholds.thresholds_file import read_thresholds

SPLITS = ("val", "test", "holdout", "unlabelled")
REMEDY = "run the stages in their order: dvc repro; by hand: score, threshold, explain, evaluate"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Scores, and the thresholds that were fitted to `val`.

    Attributes:
        thresholds, val, test: what is evaluated.
        networks: provenance of each network behind the scores.
        run_id: run of the thresholds, "" if unknown.
        origin: what made the thresholds, with their digest.
    """

    thresholds: Thresholds
    val: Scores
    test: Scores
    networks: list[dict[str, Any]]
    run_id: str
    origin: Origin


def read_inputs(thresholds_path: Path, scores_dir: Path) -> Inputs:
    """Read thresholds and scores.

    Raises:
        UserError: a file is absent or damaged, the thresholds were fitted to other scores, or the
            scores were made by other networks, settings or data than each other.
    """
    thresholds, beside = read_thresholds(thresholds_path)
    networks: list[dict[str, Any]] = read_json(scores_dir / "networks.json")
    val_path, *other_paths = (
        scores_dir / f"{name}.npz" for name in ("val", "test", "holdout", "unlabelled")
    )
    val, test = Scores.read(val_path), Scores.read(other_paths[0])
    made_by = replace(val.made_by, scores_sha256="")
    _require(beside["origin"], thresholds_path, val.made_by, val_path)
    for path in other_paths:
        if path.is_file():
            _require(made_by, val_path, replace(Scores.read(path).made_by, scores_sha256=""), path)
    _require(made_by, val_path, _described(networks, made_by), scores_dir / "networks.json")
    require_present_networks(made_by, str(val_path))
    return Inputs(thresholds, val, test, networks, beside["run_id"], beside["origin"])


def require_scored_data(inputs: Inputs, packed_dir: Path, split_dir: Path) -> None:
    """Refuse scores of other images, labels or another split than those at hand.

    Raises:
        UserError: the digest of the index or of the assignment differs.
    """
    for path in (packed_dir / "index.csv", split_dir / "assignment.csv"):
        if path.is_file():
            present = Origin(data={path.name: sha256(path)})
            _require(inputs.val.origin, Path("the scores"), present, path)


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


def _require(a: Origin, name_a: Path, b: Origin, name_b: Path) -> None:
    require_same_origin(a, b, names=(str(name_a), str(name_b)), remedy=REMEDY)
