"""Training loop: rounds of steps, each followed by a validation; keeps the best weights.

It logs to neither MLflow nor Optuna: callers pass `on_round`.
"""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from hpa.config.params import Params
from hpa.config.sections import Train
from hpa.data.batches.oversampling import repeat_factors
from hpa.data.batches.packed_batches import TrainingBatches
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.inference.prediction import predict_logits, remember, sigmoid
from hpa.model.optimizers import averaged_weights
from hpa.system.files import atomic_path, require_free_space
from hpa.system.signals import postponed_signals
from hpa.thresholds.cross_fitting import validation_metrics
from hpa.training.checkpoints import Checkpoint, Checkpoints
from hpa.training.epochs import Epochs, epochs_of
from hpa.training.live_view import View, view_of
from hpa.training.recipe import NetworkBuilder, compiled_networks, require_known_labels
from hpa.training.start import start_of
from hpa.training.state import Training, Watch, copies, diverged, save_model
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

VALIDATION_BATCH = 64
"""Images per pass of a validation, or twice train.batch_size if that is less: where a training step
fits into the device's memory, such a pass does, since it keeps no activations and no gradients."""
N_ARCHIVES = 3  # best.keras, its successor during the write, last.keras; 4 bytes per weight


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of one split: packed rows int[n], ids, and labels uint8[n,C]."""

    rows: np.ndarray
    ids: np.ndarray
    y_true: np.ndarray


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Packed images with their splits, and how often each training image is repeated."""

    images: PackedImages
    vocabulary: Vocabulary
    train: Examples
    val: Examples
    factors: np.ndarray  # float64[n], mean repeats of each training image per epoch
    epochs: Epochs

    @classmethod
    def read(cls, params: Params, packed_dir: Path, split_dir: Path) -> "TrainingData":
        """Read the outputs of the stages pack and split."""
        vocabulary = read_vocabulary(packed_dir)
        require_known_labels(params, vocabulary.labels)
        index = read_index(packed_dir)
        split = read_assignment(split_dir, params.train.fold)["split"]
        train, val = (
            examples_of(index, split, name, vocabulary.labels) for name in ("train", "val")
        )
        factors = repeat_factors(params.train, train.y_true, vocabulary.labels)
        epochs = epochs_of(params.train, factors)
        return cls(PackedImages(packed_dir), vocabulary, train, val, factors, epochs)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return self.images.row_shape[0]

    @property
    def label_rates(self) -> np.ndarray:
        """Share of the training images with each label, float64[C], repeats included."""
        return np.average(self.train.y_true, axis=0, weights=self.factors)


def fit(
    params: Params,
    *,
    packed_dir: Path,
    split_dir: Path,
    model_dir: Path,
    on_round: Callable[[int, dict[str, float]], None],
    checkpoints: Checkpoints | None = None,
    on_resume: Callable[[Checkpoint], None] = lambda _: None,
    on_step: Callable[[int], None] = lambda _: None,
    run_id: str = "",
    build_networks: NetworkBuilder = compiled_networks,
    announce: bool = True,
) -> str:
    """Train a network; write `best.keras`, `last.keras` and `history.csv`, each whole or absent.

    Args:
        params: sections model, loss, augment and train.
        packed_dir, split_dir: outputs of the stages pack and split.
        model_dir: folder for the three files.
        on_round: called after each validation with the step and the metrics, named
            `<split>/<metric>`, and `train/epochs`; a resumed training first replays its earlier
            rounds. Any exception ends the training.
        checkpoints: the training resumes from the newest whole one; the caller removes them at the
            end. None neither reads nor writes any.
        on_resume: called with the checkpoint that the training resumes from.
        on_step: called after each step with the steps done, in a thread of Keras.
        run_id: kept in the checkpoints.
        build_networks: returns the network, and the model that trains it.
        announce: print the number of steps and epochs, a warning if they are few, and how far the
            training is; else nothing is shown.

    Returns:
        The SHA-256 of the best weights (see `weights_sha256`).

    Raises:
        UserError: a loss or weight is not finite, a packed image is damaged, or a file cannot be
            written.
        SystemExit: after SIGTERM (143) or Ctrl-C (130); a checkpoint holds the last step.
    """
    if start := start_of(params.model.weights):
        start.network  # noqa: B018  (loaded before the seed, as it draws random numbers)
    keras.utils.set_random_seed(params.train.seed)
    data = TrainingData.read(params, packed_dir, split_dir)
    if announce:
        _announce(data.epochs, params.train.n_steps, data.size)
    networks = build_networks(params, data.vocabulary, data.size, data.label_rates)
    training = Training(*networks, model_dir)
    if checkpoints:
        checkpoints.prepare(training.n_bytes())
    require_free_space(model_dir, N_ARCHIVES * training.network.count_params() * 4, "the model")
    if checkpoints:
        _resume(training, checkpoints, on_round, on_resume)
    train = params.train
    view = view_of(train.n_steps, train.validate_every, train.batch_size, silent=not announce)
    view.resumed(training.history)
    rounds = _Rounds(params, data, training, view, on_step)
    with postponed_signals() as signals, closing(view):
        while not _finished(training, train):
            if metrics := rounds.advance(signals):
                on_round(training.step, metrics)
            stop = list(signals)
            if checkpoints and (stop or training.step % train.checkpoint_every == 0):
                checkpoints.write(training.checkpoint(run_id))
            if stop:
                raise SystemExit(128 + stop[0])
    _write_end(training, train.best_by)
    _remember(training, data, train)
    return training.best_sha256


@dataclass(eq=False)
class _Rounds:
    """Rounds of a training, in segments that end with a validation or before a checkpoint."""

    params: Params
    data: TrainingData
    training: Training
    view: View
    on_step: Callable[[int], None]
    n_images: int = 0  # of the round, since it began or was resumed
    seconds: float = 0.0

    def advance(self, signals: list[int]) -> dict[str, float]:
        """Train until the next pause; return the metrics if it ends a round, else nothing."""
        training, train = self.training, self.params.train
        started = time.perf_counter()
        watch = Watch(training.running, signals, self._tick)
        _train(training, self._segment(), watch, self.data.train.ids)
        self.seconds += time.perf_counter() - started
        self.n_images += watch.n_steps * train.batch_size
        return self._end(watch.loss) if _ends_round(training.step, train) else {}

    def _tick(self, n_steps: int, loss: float) -> None:
        self.view.stepped(self.training.step + n_steps, loss)
        self.on_step(self.training.step + n_steps)

    def _segment(self) -> TrainingBatches:
        data, train = self.data, self.params.train
        return TrainingBatches(
            data.images,
            data.train.rows,
            data.train.y_true,
            batch_size=train.batch_size,
            seed=train.seed,
            augment=self.params.augment,
            repeat_factors=data.factors,
            first=self.training.step,
            end=_next_pause(self.training.step, train),
        )

    def _end(self, loss: float) -> dict[str, float]:
        """Validate; keep the weights if they are the best; return the metrics of the round."""
        training, train, data = self.training, self.params.train, self.data
        reached = {"train/epochs": data.epochs.of(training.step), "train/loss": loss}
        with averaged_weights(training.model):
            metrics = reached | _validate(training, data.images, data.val, train)
            _end_round(training, metrics, train.best_by)
        self.view.validated(training.step, metrics)
        speed = self.n_images / self.seconds
        self.n_images, self.seconds = 0, 0.0
        return metrics | {"train/images_per_s": speed}


def _write_end(training: Training, best_by: str) -> None:
    """Write `last.keras`, a copy of `best.keras` if the last round is the best, and the history."""
    last = training.model_dir / "last.keras"
    if _best_round(training.history, best_by) == len(training.history) - 1:
        with atomic_path(last) as temporary:
            shutil.copyfile(training.model_dir / "best.keras", temporary)
    else:
        with averaged_weights(training.model):
            save_model(training.network, last)
    with atomic_path(training.model_dir / "history.csv") as temporary:
        pd.DataFrame(training.history).to_csv(temporary, index=False, float_format="%.6g")


def examples_of(index: pd.DataFrame, split: pd.Series, name: str, labels: Labels) -> Examples:
    """Select the rows of a split from the packed index, with their ids and labels."""
    rows = np.flatnonzero(split == name)
    chosen = index.iloc[rows]
    return Examples(rows, chosen["Id"].to_numpy(), labels.indicators(chosen["Target"]))


def _resume(
    training: Training,
    checkpoints: Checkpoints,
    on_round: Callable[[int, dict[str, float]], None],
    on_resume: Callable[[Checkpoint], None],
) -> None:
    """Restore the newest checkpoint, if there is one, and replay its rounds."""
    checkpoint = checkpoints.newest()
    if checkpoint is None:
        return
    training.restore(checkpoint)
    print(f"resuming from step {training.step}, as in {checkpoints.folder}", file=sys.stderr)
    on_resume(checkpoint)
    for row in training.history:
        on_round(int(row["step"]), {name: row[name] for name in row if name != "step"})


def _train(training: Training, batches: TrainingBatches, watch: Watch, ids: np.ndarray) -> None:
    """Do the steps of `batches`, or fewer if the end is requested.

    Raises:
        UserError: a loss is not finite; the message names its step and images.
    """
    with batches.clean_errors():
        training.model.fit(batches.feed(), shuffle=False, verbose=0, callbacks=[watch])
    if watch.first_bad is not None:
        step = training.step + watch.first_bad
        named = " ".join(ids[batches.chosen(step)])
        raise diverged(f"in step {step + 1}", f"a loss that is not finite, on {named}")
    training.step += watch.n_steps
    training.running = copies(training.model.metrics_variables)


def _announce(epochs: Epochs, n_steps: int, size: int) -> None:
    print(f"training: {epochs.describe(n_steps)} of {size} x {size} pixels", flush=True)
    if warning := epochs.warning(n_steps, "train.n_steps"):
        print(warning, file=sys.stderr, flush=True)


def _validate(
    training: Training, images: PackedImages, val: Examples, train: Train
) -> dict[str, float]:
    """Evaluate the network on the whole split, at most twice as many images a pass as in a step."""
    n_at_once, network = _validation_batch(train), training.network
    logits = predict_logits(network, images, val.rows, batch_size=n_at_once)
    training.val_logits = logits
    scores = validation_metrics(val.y_true, sigmoid(logits))
    loss = float(network.loss(val.y_true, logits))
    return {"val/loss": loss} | {f"val/{name}": score for name, score in scores.items()}


def _validation_batch(train: Train) -> int:
    return min(VALIDATION_BATCH, 2 * train.batch_size)


def _remember(training: Training, data: TrainingData, train: Train) -> None:
    """Keep the best validation's logits if scoring would compute the same bits: without XLA."""
    if training.best_logits is None or training.network.jit_compile or train.n_devices > 1:
        return
    rows, batch_size = data.val.rows, _validation_batch(train)
    remember(training.best_logits, training.best_sha256, data.images, rows, batch_size)


def _end_round(training: Training, metrics: dict[str, float], best_by: str) -> None:
    """Append the metrics of a round to the history; keep its weights if they are the best."""
    if not np.isfinite(metrics["val/loss"]):
        raise diverged(f"in step {training.step}", f"val/loss {metrics['val/loss']}")
    training.history.append({"step": training.step, **metrics})
    training.running = []
    if _best_round(training.history, best_by) == len(training.history) - 1:
        training.keep_best()


def _best_round(history: list[dict[str, float]], best_by: str) -> int:
    """Return the first of the best rounds: of the least loss, or of the greatest other metric."""
    values = np.array([row[f"val/{best_by}"] for row in history])
    return int(np.argmin(values) if best_by == "loss" else np.argmax(values))


def _finished(training: Training, train: Train) -> bool:
    """Tell whether all steps are done, or the last `patience` rounds brought no improvement."""
    if training.step >= train.n_steps:
        return True
    if train.patience is None or not training.history:
        return False
    rounds_since = len(training.history) - 1 - _best_round(training.history, train.best_by)
    return rounds_since >= train.patience


def _ends_round(step: int, train: Train) -> bool:
    return step % train.validate_every == 0 or step == train.n_steps


def _next_pause(step: int, train: Train) -> int:
    """Return the next step after which there is a validation or a checkpoint."""
    everys = (train.validate_every, train.checkpoint_every)
    return min(train.n_steps, *((step // every + 1) * every for every in everys))
