"""Score every split with the networks that did not train on it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hpa.config.sections import Score
from hpa.data.packed.assignment import HOLDOUT, UNLABELLED, read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.record import data_parameters
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.inference.models import Model
from hpa.inference.prediction import VIEWS, predict_views, remembered, sigmoid
from hpa.metrics.origins import Origin
from hpa.metrics.predictions import Scores
from hpa.system.files import sha256, write_json
from hpa.system.progress import progress

NETWORKS = "networks.json"
SCORED = ("val", "test", HOLDOUT, UNLABELLED)
MADE_BY = ("model", "loss", "augment", "train")
"""Sections of params.yaml that decide a network, beside those that the data says itself."""


def score_splits(
    models: list[Model],
    *,
    packed_dir: Path,
    split_dir: Path,
    scores_dir: Path,
    score: Score,
    run_id: str,
) -> None:
    """Write val.npz, test.npz, networks.json, and holdout.npz and unlabelled.npz if they exist.

    A val image gets the mean logit of the networks that did not train on it; with networks of
    several folds, val holds the images of all those folds. The others get the mean logit
    of all networks. networks.json holds the provenance of each network.
    """
    origin = origin_of(models, packed_dir, split_dir, score)
    labels = read_vocabulary(packed_dir).labels
    images, index = PackedImages(packed_dir), read_index(packed_dir)
    groups = read_assignment(split_dir)["group"].to_numpy(np.int64)
    totals: dict[str, np.ndarray] = {}  # sums of logits, and the number of networks in each
    n_votes: dict[str, np.ndarray] = {}
    for model in models:
        network = model.load()
        split = read_assignment(split_dir, model.fold)["split"]
        n_passes = VIEWS[score.augmentation] * int(split.isin(SCORED).sum())
        with progress(what="score", total=n_passes) as bar:
            for name in SCORED:
                total = totals.setdefault(name, np.zeros((len(index), len(labels))))
                votes = n_votes.setdefault(name, np.zeros(len(index), dtype=int))
                rows = np.flatnonzero(split == name)
                if len(rows):
                    total[rows] += _logits(model, network, images, rows, score, bar.update)
                    votes[rows] += 1
    for name, total in totals.items():
        rows = np.flatnonzero(n_votes[name])
        if len(rows):
            chosen = index.iloc[rows]
            Scores(
                ids=chosen["Id"].to_numpy(np.str_),
                y_true=None if name == UNLABELLED else labels.indicators(chosen["Target"]),
                y_prob=sigmoid(total[rows] / n_votes[name][rows, None]),
                labels=labels,
                run_id=run_id,
                augmentation=score.augmentation,
                merge=score.merge,
                groups=groups[rows],
                origin=origin,
            ).write(scores_dir / f"{name}.npz")
        else:  # of an earlier split
            (scores_dir / f"{name}.npz").unlink(missing_ok=True)
    write_json(scores_dir / NETWORKS, [_without_archives(model) for model in models])


def _logits(
    model: Model,
    network: keras.Model,
    images: PackedImages,
    rows: np.ndarray,
    score: Score,
    on_batch: Callable[[int], object],
) -> np.ndarray:
    """Return merged logits float64[n,C]; those of val are known if training has just ended."""
    known = remembered(model.network["weights_sha256"], images, rows, score.batch_size)
    if known is not None and VIEWS[score.augmentation] == 1:
        on_batch(len(rows))
        return known.astype(np.float64)
    return predict_views(network, images, rows, score, on_batch=on_batch)


def origin_of(models: list[Model], packed_dir: Path, split_dir: Path, score: Score) -> Origin:
    """Return the origin of the scores: networks, data, and the parameters that they share."""
    files = (packed_dir / "index.csv", split_dir / "assignment.csv")
    return Origin(
        networks=tuple(model.network for model in models),
        data={path.name: sha256(path) for path in files},
        params={
            **data_parameters(packed_dir, split_dir),
            **shared_params(models),
            **{f"score.{key}": value for key, value in asdict(score).items()},
        },
    )


def shared_params(models: list[Model]) -> dict[str, Any]:
    """Return the parameters, by dotted key, with which all of the networks were trained."""
    first, *others = (model.origin["params"] for model in models)
    return {
        key: value
        for key, value in first.items()
        if key.partition(".")[0] in MADE_BY
        and all(key in other and other[key] == value for other in others)
    }


def _without_archives(model: Model) -> dict[str, Any]:
    """Return its provenance without the digests of files, which only the file beside it has."""
    return {key: value for key, value in model.origin.items() if key != "archives"}
