"""Score every split with the networks that did not train on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hpa.config.sections import Score
from hpa.data.packed.assignment import UNLABELLED, read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.errors import UserError
from hpa.inference.prediction import predict_views, sigmoid
from hpa.labels import N_LABELS, indicator_matrix
from hpa.metrics.predictions import Scores
from hpa.model.safe_loading import load_network
from hpa.system.files import read_json, sha256, write_json

BEST, PROVENANCE, NETWORKS = "best.keras", "provenance.json", "networks.json"


@dataclass(frozen=True)
class Model:
    """A network on disk: a `.keras` archive, and the `provenance.json` beside it."""

    path: Path
    origin: Mapping[str, Any]

    @property
    def fold(self) -> int:
        """The fold that its training left out; 0 without folds."""
        return int(self.origin["params"]["train.fold"])

    @property
    def run_id(self) -> str:
        """Id of the run that trained it."""
        return str(self.origin["run_id"])

    def load(self) -> keras.Model:
        """Load the network, from uint8[B,S,S,4] to logits float32[B,28].

        Raises:
            UserError: its digest is not that of its provenance: it is damaged, or a later training
                was stopped halfway.
        """
        return load_network(self.path, digest=self.origin.get("archives", {}).get(self.path.name))


def find_models(path: Path) -> list[Model]:
    """Return the network of a `.keras` file, or the `best.keras` of each subfolder, sorted by name.

    Raises:
        UserError: there is none, or one has no provenance.
    """
    files = sorted(path.glob(f"*/{BEST}")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UserError(
            f"{path} holds no model",
            expected=f"a .keras file, or a folder with <name>/{BEST} in it",
            received="a folder without" if path.is_dir() else "no such file",
            remedy="train one: dvc repro train, or python src/train.py --output FOLDER",
        )
    return [Model(file, read_json(file.parent / PROVENANCE)) for file in files]


def require_same_split(models: list[Model], assignment_path: Path) -> None:
    """Refuse networks of another split, which may have trained on the present val and test images.

    Raises:
        UserError: a network was trained with another assignment of images.
    """
    found = sha256(assignment_path)
    for model in models:
        if (known := model.origin["data"].get(str(assignment_path))) != found:
            raise UserError(
                f"{model.path} was trained with another split, perhaps on today's test images",
                expected=f"{assignment_path} with SHA-256 {known}",
                received=f"SHA-256 {found}",
                remedy="train it again, or restore its split: dvc checkout data/split",
            )


def score_splits(
    models: list[Model],
    *,
    packed_dir: Path,
    split_dir: Path,
    scores_dir: Path,
    score: Score,
    run_id: str,
) -> None:
    """Write val.npz, test.npz, networks.json, and unlabelled.npz if there are such images.

    A val image gets the mean logit of the networks that did not train on it; with networks of
    several folds, val holds the images of all those folds. Test and unlabelled images get the mean
    logit of all networks. networks.json holds the provenance of each network.
    """
    images, index = PackedImages(packed_dir), read_index(packed_dir)
    groups = read_assignment(split_dir)["group"].to_numpy(np.int64)
    totals: dict[str, np.ndarray] = {}  # sums of logits, and the number of networks in each
    n_votes: dict[str, np.ndarray] = {}
    for model in models:
        network = model.load()
        split = read_assignment(split_dir, model.fold)["split"]
        for name in ("val", "test", UNLABELLED):
            total = totals.setdefault(name, np.zeros((len(index), N_LABELS)))
            votes = n_votes.setdefault(name, np.zeros(len(index), dtype=int))
            rows = np.flatnonzero(split == name)
            if len(rows):
                total[rows] += predict_views(network, images, rows, score)
                votes[rows] += 1
    for name, total in totals.items():
        rows = np.flatnonzero(n_votes[name])
        if len(rows):
            chosen = index.iloc[rows]
            Scores(
                ids=chosen["Id"].to_numpy(np.str_),
                y_true=None if name == UNLABELLED else indicator_matrix(chosen["Target"]),
                y_prob=sigmoid(total[rows] / n_votes[name][rows, None]),
                run_id=run_id,
                augmentation=score.augmentation,
                merge=score.merge,
                groups=groups[rows],
            ).write(scores_dir / f"{name}.npz")
    write_json(scores_dir / NETWORKS, [dict(model.origin) for model in models])
