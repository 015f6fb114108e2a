"""State of a training: all that decides how it ends, saved in and restored from checkpoints.

It holds weights, optimizer, random states of layers, running metrics of the round, best weights so
far, history and step. Order and augmentation of the images are functions of (seed, step). So a
training resumed from a checkpoint, whatever its step, ends with the same bits as one never stopped.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hpa.errors import UserError
from hpa.model.weights import portable, weights_sha256
from hpa.system.files import atomic_path
from hpa.training.checkpoints import Checkpoint


@dataclass(eq=False)
class Training:
    """State of a training on its networks (see `compiled_networks`).

    Attributes:
        step: steps done.
        history: the metrics of each round, with its last `step`; no times.
        best: the best weights so far, empty before the first validation.
        running: the metrics' variables within a round, empty before its first step.
        val_logits, best_logits: of the last validation and of the best one; None before them, and
            not in a checkpoint.
    """

    network: keras.Model
    model: keras.Model
    model_dir: Path
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)
    best_sha256: str = ""
    running: list[np.ndarray] = field(default_factory=list)
    val_logits: np.ndarray | None = None
    best_logits: np.ndarray | None = None

    def keep_best(self) -> None:
        """Keep the network's weights as the best so far, in memory and in `best.keras`."""
        self.best = copies(self.network.weights)
        self.best_sha256, self.best_logits = weights_sha256(self.network), self.val_logits
        save_model(self.network, self.model_dir / "best.keras")

    def checkpoint(self, run_id: str) -> Checkpoint:
        """Copy the state to the host.

        Raises:
            UserError: a number in it is not finite.
        """
        groups = {"best": self.best, "running": self.running, "state": copies(self._variables())}
        arrays = {
            f"{name}/{place:04d}": array
            for name, group in groups.items()
            for place, array in enumerate(group)
        }
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise diverged(f"in step {self.step}", "a weight that is not finite")
        return Checkpoint(self.step, arrays, list(self.history), run_id)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a training with the same parameters, data and code."""
        groups: dict[str, list[np.ndarray]] = {"best": [], "running": [], "state": []}
        for name, array in sorted(checkpoint.arrays.items()):
            groups[name.partition("/")[0]].append(array)
        if groups["best"]:
            assign(self.network.weights, groups["best"])
            self.keep_best()
        assign(self._variables(), groups["state"])
        self.step, self.history = checkpoint.step, list(checkpoint.history)
        self.running = groups["running"]

    def n_bytes(self) -> int:
        """Return the size of a checkpoint."""
        variables = [*self._variables(), *self.network.weights]
        return sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)

    def _variables(self) -> list[Any]:
        """Return all that a step changes: weights, random states of layers, optimizer."""
        return [*self.model.variables, *self.model.optimizer.variables]


class Watch(keras.callbacks.Callback):
    """Record the losses of the steps of one `fit`, and end it on request.

    Keras calls it in threads of its own, so that no step waits for the previous loss to arrive from
    the device.
    """

    async_safe = True

    def __init__(
        self, running: list[np.ndarray], stop: list[int], tick: Callable[[int, float], None]
    ) -> None:
        """Watch one `fit`.

        Args:
            running: the metrics' variables if it resumes within a round, else empty.
            stop: a list that requests the end once it is not empty.
            tick: called after each step with the steps done in this `fit`, and the loss so far.
        """
        super().__init__()
        self._running, self._stop, self._tick = running, stop, tick
        self._losses: dict[int, float] = {}

    @property
    def n_steps(self) -> int:
        """Steps done."""
        return len(self._losses)

    @property
    def loss(self) -> float:
        """Mean loss of the round so far."""
        return self._losses[max(self._losses)]

    @property
    def first_bad(self) -> int | None:
        """The first step of this `fit`, from 0, whose loss was not finite; None if all were."""
        return min((s for s, loss in self._losses.items() if not math.isfinite(loss)), default=None)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the round's running metrics, which `fit` has just reset."""
        if self._running:
            assign(self.model.metrics_variables, self._running)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the loss; end after this step if requested, or if the loss is not finite."""
        self._losses[batch] = logs["loss"]
        self._tick(self.n_steps, logs["loss"])
        if self._stop or not math.isfinite(logs["loss"]):
            self.model.stop_training = True


def diverged(when: str, received: str) -> UserError:
    """Return the error of a diverged training."""
    return UserError(
        f"the training diverged {when}",
        expected="finite losses and weights",
        received=received,
        remedy="look at the images named above, if any; else lower train.learning_rate; "
        "the checkpoints hold the last good weights",
    )


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` archive that needs no class of this project to load, whole or not at all."""
    with atomic_path(path) as temporary:
        portable(model).save(temporary)


def copies(variables: list[Any]) -> list[np.ndarray]:
    """Copy variables to the host."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: list[Any], values: list[np.ndarray]) -> None:
    """Assign each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
