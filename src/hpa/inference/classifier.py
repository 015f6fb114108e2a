"""Classifier: a model folder that turns pixels into labels, with quality flags.

Terminal, HTTP server and web page all predict through it.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa.config.sections import Serve
from hpa.data.batches.packed_batches import turned
from hpa.data.images.framing import FramingRules, divide
from hpa.data.images.reading import ReadingRules
from hpa.data.packed.pixel_sizes import size_flags
from hpa.data.packed.training_range import TrainingRange
from hpa.errors import UserError
from hpa.inference.inputs import Input, batches
from hpa.inference.models import (
    BEST,
    PROVENANCE,
    network_files,
    read_vocabulary_of,
    require_complete,
)
from hpa.inference.prediction import MERGES, VIEWS, merge_views, sigmoid
from hpa.inference.reading_rules import reading_rules
from hpa.metrics.origins import (
    Origin,
    network_of,
    networks_of,
    require_same_origin,
    require_same_vocabulary,
)
from hpa.model.archive_origin import embedded_provenance
from hpa.model.safe_loading import load_network
from hpa.system.files import read_json
from hpa.thresholds.decisions import Thresholds, decide
from hpa.thresholds.thresholds_file import read_thresholds

if TYPE_CHECKING:
    import keras

REMEDY = (
    "take the whole folder from one run; here, set score.models to model/best.keras and run the "
    "stages that follow a change: dvc repro, or by hand score, threshold, explain, evaluate; of an "
    "ensemble: python src/folds.py"
)
FILLED = "no label reaches its threshold: the most probable one is named"
CLASS_FLAGS = "class_flags.json"
"""File that the evaluate stage adds: quality flags of each class."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Prediction for one image; the flags are reasons to distrust it, in plain words."""

    name: str
    y_prob: np.ndarray  # float32[C] in [0,1], scores as the thresholds were fitted to
    y_pred: np.ndarray  # uint8[C]
    labels: list[str]  # names of the predicted labels, the most probable first
    flags: tuple[str, ...]
    n_tiles: int = 1


class Classifier:
    """A verified and loaded model folder, of one network or several; threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Load `folder`, whose archives must have the digests in its provenance.

        Raises:
            UserError: a file is missing, damaged, not the one that was trained, or of another
                model.
        """
        require_complete(folder)
        self.origin: dict[str, Any] = read_json(folder / PROVENANCE)
        self.vocabulary = read_vocabulary_of(self.origin, folder)
        self.thresholds, beside = read_thresholds(folder / "thresholds.json")
        self._augmentation, self._merge = _views(beside["score"], folder)
        seen = read_json(folder / "training_range.json")
        _check_network(self.origin, beside["origin"], seen, folder)
        require_same_vocabulary(
            self.vocabulary.labels,
            self.thresholds.labels,
            names=(f"{folder}/{PROVENANCE}", f"{folder}/thresholds.json"),
            remedy=REMEDY,
        )
        self.class_flags = _class_flags(folder / CLASS_FLAGS, self.thresholds, beside["origin"])
        self._seen = TrainingRange.from_json(seen, self.vocabulary.channels)
        self.networks = [self._load(folder, name) for name in network_files(folder)]
        self.image_size: int = self.networks[0].input_shape[1]
        self.folder = folder
        self._lock = threading.Lock()

    def _load(self, folder: Path, name: str) -> "keras.Model":
        digest = self.origin.get("archives", {}).get(name)
        if not isinstance(digest, str):
            raise UserError(
                f"{folder}/{PROVENANCE} has no digest of {name}",
                expected=f'"archives": {{"{name}": SHA-256}}',
                received="none",
                remedy="train again, or copy the whole model folder from where it was trained",
            )
        return load_network(
            folder / name,
            digest=digest,
            n_channels=len(self.vocabulary.channels),
            n_labels=len(self.vocabulary.labels),
        )

    def rules(self, serve: Serve) -> ReadingRules:
        """Return the rules for reading images: those that params.yaml states, else of training.

        Raises:
            UserError: they contradict the model.
        """
        return reading_rules(serve, self.vocabulary.channels, self.origin["params"])

    def _trained_with(self, key: str) -> Any:
        """Return a parameter of the training images; None if the model does not say."""
        return self.origin["params"].get(key)

    @property
    def framing(self) -> FramingRules:
        """Rules by which the training images were scaled, framed and divided."""
        pixel_size_um = self._trained_with("pack.pixel_size_um")
        return FramingRules(
            image_size=self.image_size,
            odd_size=str(self._trained_with("pack.odd_size") or "refuse"),
            framing=str(self._trained_with("pack.framing") or "none"),
            pixel_size_um=None if pixel_size_um is None else float(pixel_size_um),
        )

    def to_input(
        self,
        name: str,
        planes: list[np.ndarray],
        *,
        pixel_size_um: float | None = None,
        flags: Sequence[str] = (),
    ) -> Input:
        """Frame the planes of an image, K uint8[H,W], exactly as `pack` framed training images.

        Args:
            name: of the image.
            planes: the channels in the order of the vocabulary.
            pixel_size_um: of the image; None if unknown.
            flags: of the reader, to which those of its size are added.

        Raises:
            InvalidImageError: its size is one that the framing refuses.
        """
        rules = self.framing
        seen = divide(planes, pixel_size_um, rules)
        size = size_flags(
            self._seen.pixel_sizes, rules.pixel_size_um, pixel_size_um, seen.pixel_size_um
        )
        own = [seen.cut] if seen.cut else []
        return Input(name, np.stack(seen.pixels), (*flags, *size, *own))

    def probabilities(
        self, pixels: Sequence[np.ndarray] | np.ndarray, *, batch_size: int
    ) -> np.ndarray:
        """Return float32[N,C] in [0,1] for N uint8[S,S,K]: the mean logit of all networks.

        The thresholds were fitted to such probabilities, with the same views.
        """
        return sigmoid(self._logits(pixels, min(batch_size, len(pixels))))

    def _logits(self, pixels: Sequence[np.ndarray] | np.ndarray, size: int) -> np.ndarray:
        """Return the mean logits float64[N,C] of all networks, merged over the views.

        Batches are of one size, so that a network is compiled only once.
        """
        logits = []
        for first in range(0, len(pixels), size):
            batch = np.stack(list(pixels[first : first + size]))
            filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            found = [self._merged(network, filled) for network in self.networks]
            logits.append((np.add.reduce(found) / len(found))[: len(batch)])
        return np.concatenate(logits)

    def _merged(self, network: "keras.Model", batch: np.ndarray) -> np.ndarray:
        """Return the logits float64[B,C] of a network, merged over the views."""

        def logits_of(view: int) -> np.ndarray:
            with self._lock:
                return np.asarray(network.predict_on_batch(turned(batch, view)))

        return merge_views(logits_of, self._augmentation, self._merge)

    def predict(self, inputs: Iterable[Input], *, batch_size: int) -> list[Prediction]:
        """Predict the labels of images; that of several tiles by their mean logit.

        The inputs may be a generator: no more than those of a batch are in memory then.
        """
        return list(self.predict_each(inputs, batch_size=batch_size))

    def predict_each(self, inputs: Iterable[Input], *, batch_size: int) -> Iterator[Prediction]:
        """Yield the predictions of `predict`, as soon as a batch of images or tiles is complete."""
        size = 0
        for batch in batches(inputs, batch_size):
            size = size or min(batch_size, sum(len(each.tiles) for each in batch))
            yield from self._predict(batch, size)

    def _predict(self, inputs: Sequence[Input], size: int) -> Iterator[Prediction]:
        logits = self._logits([tile for each in inputs for tile in each.tiles], size)
        ends = np.cumsum([len(each.tiles) for each in inputs])[:-1]
        y_prob = sigmoid(np.stack([each.mean(axis=0) for each in np.split(logits, ends)]))
        y_pred = decide(self.thresholds, y_prob)
        filled = np.asarray((y_pred > self.thresholds.predict(y_prob)).any(axis=1))
        for row, each in enumerate(inputs):
            yield Prediction(
                each.name,
                y_prob[row],
                y_pred[row],
                self._names(y_prob[row], y_pred[row]),
                (*each.flags, *self._flags(each.tiles), *[FILLED] * int(filled[row])),
                len(each.tiles),
            )

    def _flags(self, tiles: np.ndarray) -> list[str]:
        """Describe how most tiles of an image differ from the training images.

        Of hundreds of tiles, some are always outside the range of the training images.
        """
        black = str(self._trained_with("fetch.missing_channels") or "").split()
        counts = Counter(flag for tile in tiles for flag in self._seen.flags(tile, black=black))
        n_tiles = len(tiles)
        if n_tiles == 1:
            return list(counts)
        often = {flag: n for flag, n in counts.items() if 2 * n >= n_tiles}
        return [f"{flag} (in {n} of {n_tiles} tiles)" for flag, n in often.items()]

    def _names(self, y_prob: np.ndarray, y_pred: np.ndarray) -> list[str]:
        """Return the names of the predicted labels, the most probable first."""
        names = self.vocabulary.labels.names
        return [names[k] for k in np.argsort(-y_prob, kind="stable") if y_pred[k]]

    def document(self, prediction: Prediction) -> dict[str, Any]:
        """Return a prediction as plain values for JSON, classes in the order of the labels.

        Probabilities and thresholds are those that people see: see `Thresholds.shown`. `tiles`, the
        number of tiles, is there if the model divides images.
        """
        thresholds = self.thresholds
        shown, limits = thresholds.shown(prediction.y_prob[None])[0], thresholds.shown_values
        return {
            "image": prediction.name,
            "labels": prediction.labels,
            **({"tiles": prediction.n_tiles} if self.framing.odd_size == "tiles" else {}),
            "flags": list(prediction.flags),
            "classes": [
                {
                    "label": label,
                    "present": bool(prediction.y_pred[k]),
                    "probability": float(shown[k]),
                    "threshold": float(limits[k]),
                    "rule": thresholds.rule[k],
                    "flags": list(self.class_flags[k]),
                }
                for k, label in enumerate(self.vocabulary.labels.names)
            ],
        }


def _check_network(
    provenance: dict[str, Any], thresholds: Origin, seen: dict[str, Any], folder: Path
) -> None:
    """Refuse a folder whose files tell of two networks; those of earlier versions tell nothing."""
    paths, listed = [folder / name for name in network_files(folder)], networks_of(BEST, provenance)
    inside = [
        network_of(BEST, embedded_provenance(path) or said)
        for path, said in zip(paths, listed, strict=True)
    ]
    others = {
        PROVENANCE: listed,
        "thresholds.json": thresholds.networks,
        "training_range.json": networks_of(BEST, seen),
    }
    for name, networks in others.items():
        names = (", ".join(map(str, paths)), str(folder / name))
        require_same_origin(
            Origin(networks=tuple(inside)), Origin(networks=networks), names=names, remedy=REMEDY
        )


def _views(score: Any, folder: Path) -> tuple[str, str]:
    """Return the augmentation and merge of the scores that the thresholds were fitted to."""
    with suppress(LookupError, TypeError):
        if score["augmentation"] in VIEWS and score["merge"] in MERGES:
            return score["augmentation"], score["merge"]
    raise UserError(
        f"{folder}/thresholds.json does not describe the scores that it was fitted to",
        expected=f"augmentation {' or '.join(VIEWS)}, merge {' or '.join(MERGES)}",
        received=str(score),
        remedy="fit the thresholds again: dvc repro threshold",
    )


def _class_flags(path: Path, thresholds: Thresholds, origin: Origin) -> list[list[str]]:
    """Return the flags of each class: of the evaluation, else only those of the thresholds.

    Raises:
        UserError: the file is damaged, or other thresholds were evaluated.
    """
    if not path.is_file():
        return [list(flags) for flags in thresholds.flags]
    try:
        document = read_json(path)
        notes = [document["classes"][label] for label in thresholds.labels.names]
        evaluated = Origin.from_json(document.get("origin", {}))
        names = (str(path.with_name("thresholds.json")), str(path))
        require_same_origin(origin, evaluated, names=names, remedy=REMEDY)
        return [note.split("; ") if note else [] for note in notes]
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a text for each class",
            received=f"{type(error).__name__}: {error}",
            remedy="evaluate again: dvc repro evaluate",
        ) from error
