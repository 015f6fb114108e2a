"""A trained model folder in use: from pixels to labels, with what speaks against believing them.

Whoever answers a user, on the terminal, over HTTP or in the browser, does it through here.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpa.config.params import Serve
from hpa.data.batches import turned
from hpa.data.images.user_images import ReadingRules
from hpa.data.training_range import TrainingRange
from hpa.errors import UserError
from hpa.inference.prediction import MERGES, VIEWS, merge_views, sigmoid
from hpa.labels import CHANNELS, LABELS
from hpa.model.safe_loading import load_network
from hpa.system.files import read_json
from hpa.thresholds.fitting import Thresholds, read_thresholds

FILES = ("best.keras", "provenance.json", "thresholds.json", "training_range.json")
"""What a model folder must hold to be used."""
CLASS_FLAGS = "class_flags.json"
"""What the evaluate stage adds: why its numbers for a class are not to be trusted."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is said of one image.

    Attributes:
        name: of the image.
        y_prob: float32[28] in [0,1].
        y_pred: uint8[28].
        flags: why not to believe it, in plain words; often nothing.
    """

    name: str
    y_prob: np.ndarray
    y_pred: np.ndarray
    flags: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The names of the labels found, the most probable first; perhaps none."""
        return [LABELS[k] for k in np.argsort(-self.y_prob, kind="stable") if self.y_pred[k]]


class Classifier:
    """A verified model folder, ready to answer; threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Load `folder`, whose archive must have the digest that its provenance names.

        Raises:
            UserError: a file is missing, damaged or not the one that was trained.
        """
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise UserError(
                f"{folder} is no whole model folder",
                expected=", ".join(FILES),
                received=f"no {', '.join(missing)}",
                remedy="run: dvc pull, or dvc repro; or name another folder with --model",
            )
        self.origin: dict[str, Any] = read_json(folder / "provenance.json")
        _check_channels(self.origin, folder)
        self.thresholds, beside = read_thresholds(folder / "thresholds.json")
        self._augmentation, self._merge = _views(beside["score"], folder)
        self.class_flags = _class_flags(folder / CLASS_FLAGS, self.thresholds)
        self._seen = TrainingRange.from_json(read_json(folder / "training_range.json"))
        digest = self.origin.get("archives", {}).get("best.keras")
        if not isinstance(digest, str):
            raise _undigested(folder)
        self.network = load_network(folder / "best.keras", digest=digest)
        self.image_size: int = self.network.input_shape[1]
        self.folder = folder
        self._lock = threading.Lock()

    def rules(self, serve: Serve) -> ReadingRules:
        """Return how this model's images are read: limits from params.yaml, the rest its own."""
        return ReadingRules(
            image_size=self.image_size,
            odd_size=str(self.origin["params"]["pack.odd_size"]),
            tinted=serve.tinted,
            sixteen_bit_white=serve.sixteen_bit_white,
            max_size_px=serve.max_size_px,
        )

    def probabilities(self, pixels: np.ndarray, *, batch_size: int) -> np.ndarray:
        """Run the network over uint8[N,S,S,4], seen as the score stage saw: float32[N,28] in [0,1].

        Their thresholds hold for no other probabilities.
        """

        def logits_of(view: int) -> np.ndarray:
            return self._logits(turned(pixels, view), batch_size)

        return sigmoid(merge_views(logits_of, self._augmentation, self._merge))

    def _logits(self, pixels: np.ndarray, batch_size: int) -> np.ndarray:
        """Run the network in batches of one size, so that it is compiled once."""
        logits = []
        size = min(batch_size, len(pixels))
        for first in range(0, len(pixels), size):
            batch = pixels[first : first + size]
            filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            with self._lock:
                logits.append(self.network.predict_on_batch(filled)[: len(batch)])
        return np.concatenate(logits)

    def predict(self, names: list[str], pixels: np.ndarray, *, batch_size: int) -> list[Prediction]:
        """Answer for N named images uint8[N,S,S,4]."""
        y_prob = self.probabilities(pixels, batch_size=batch_size)
        y_pred = self.thresholds.predict(y_prob)
        return [
            Prediction(name, y_prob[row], y_pred[row], tuple(self._seen.flags(pixels[row])))
            for row, name in enumerate(names)
        ]

    def document(self, prediction: Prediction) -> dict[str, Any]:
        """Spell an answer as plain values for JSON, classes in the competition's order."""
        thresholds = self.thresholds
        return {
            "image": prediction.name,
            "labels": prediction.labels,
            "flags": list(prediction.flags),
            "classes": [
                {
                    "label": label,
                    "present": bool(prediction.y_pred[k]),
                    "probability": float(prediction.y_prob[k]),
                    "threshold": float(thresholds.values[k]),
                    "rule": thresholds.rule[k],
                    "flags": list(self.class_flags[k]),
                }
                for k, label in enumerate(LABELS)
            ],
        }


def _check_channels(origin: dict[str, Any], folder: Path) -> None:
    """Refuse a model whose channels or labels stand in another order than this program's."""
    for key, expected in (("channels", list(CHANNELS)), ("labels", list(LABELS))):
        if origin.get(key) != expected:
            raise UserError(
                f"the model in {folder} has other {key}",
                expected=", ".join(expected),
                received=str(origin.get(key)),
                remedy="use the program's version that trained it (git.commit in provenance.json)",
            )


def _views(score: Any, folder: Path) -> tuple[str, str]:
    """Read how the scores behind the thresholds were made."""
    try:
        augmentation, merge = score["augmentation"], score["merge"]
        if augmentation in VIEWS and merge in MERGES:
            return augmentation, merge
    except (LookupError, TypeError):
        pass
    raise UserError(
        f"{folder}/thresholds.json says nothing sensible of the scores it rests on",
        expected=f"augmentation {' or '.join(VIEWS)}, merge {' or '.join(MERGES)}",
        received=str(score),
        remedy="choose the thresholds again: dvc repro threshold",
    )


def _class_flags(path: Path, thresholds: Thresholds) -> list[list[str]]:
    """Return, class by class, what speaks against believing it: of its evaluation, if there is one.

    That names the flags of the thresholds as well.
    """
    if not path.is_file():
        return [list(flags) for flags in thresholds.flags]
    try:
        notes = [read_json(path)["classes"][label] for label in LABELS]
        return [note.split("; ") if note else [] for note in notes]
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a note for each class",
            received=f"{type(error).__name__}: {error}",
            remedy="evaluate again: dvc repro evaluate",
        ) from error


def _undigested(folder: Path) -> UserError:
    return UserError(
        f"{folder}/provenance.json names no digest of best.keras",
        expected='"archives": {"best.keras": SHA-256}',
        received="none",
        remedy="train again, or take the whole model folder from where it was trained",
    )
