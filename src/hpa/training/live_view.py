"""Live view of a training: one line on a terminal, or a plain line after each round in a log."""

import math
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hpa.system.progress import on_terminal

PERIOD_S = 0.2  # between two drawings of the line


@dataclass(frozen=True)
class Status:
    """State of a training at one moment; NaN is not known yet.

    Attributes:
        step, n_steps: steps done, and in all.
        loss: mean training loss of the round so far.
        val_loss, macro_f1: of the last validation.
        images_per_s: in training, without validations.
        seconds_left: with the validations that will follow.
    """

    step: int
    n_steps: int
    loss: float = math.nan
    val_loss: float = math.nan
    macro_f1: float = math.nan
    images_per_s: float = math.nan
    seconds_left: float = math.nan

    def line(self, columns: int) -> str:
        """Describe it in less than so many columns, by the longest of three texts that fits."""
        texts = (self._words(), self._words().replace("  ", " ").replace("val loss", "val"))
        return next((text for text in texts if len(text) < columns), self._short()[: columns - 1])

    def _words(self) -> str:
        return (
            f"step {self.step}/{self.n_steps}  loss {_number(self.loss, 3)}  "
            f"val loss {_number(self.val_loss, 3)}  macro F1 {_number(self.macro_f1, 3)}  "
            f"{_number(self.images_per_s, 0)} images/s  {_clock(self.seconds_left)} left"
        )

    def _short(self) -> str:
        return (
            f"{self.step}/{self.n_steps} loss {_number(self.loss, 2)} F1 "
            f"{_number(self.macro_f1, 2)} {_number(self.images_per_s, 0)}/s "
            f"{_clock(self.seconds_left)}"
        )


class Clock:
    """Speed of a training: seconds of a step and of a validation, and what is left of both."""

    def __init__(self, n_steps: int, validate_every: int, batch_size: int) -> None:
        self._n_steps, self._every, self._batch_size = n_steps, validate_every, batch_size
        self._n_timed, self._step_s, self._validation_s = 0, 0.0, 0.0
        self._since: float | None = None  # the end of the last step; None across a pause

    def stepped(self) -> None:
        """Count a step; the first one after a pause is not timed, as it may compile."""
        now = time.perf_counter()
        if self._since is not None:
            self._n_timed, self._step_s = self._n_timed + 1, self._step_s + now - self._since
        self._since = now

    def validated(self) -> None:
        """Count a validation, which took the time since the last step."""
        if self._since is not None:
            self._validation_s = time.perf_counter() - self._since
        self._since = None

    def images_per_s(self) -> float:
        """Return the images of a second; NaN before two steps."""
        return self._n_timed * self._batch_size / self._step_s if self._step_s else math.nan

    def seconds_left(self, step: int) -> float:
        """Return the seconds that the steps and validations after a step will take."""
        validations = math.ceil(self._n_steps / self._every) - step // self._every
        left = (self._n_steps - step) * self._batch_size / self.images_per_s()
        return left + max(0, validations) * self._validation_s if step < self._n_steps else 0.0


class View:
    """Status of a training as it proceeds, shown nowhere."""

    def __init__(self, clock: Clock, n_steps: int) -> None:
        self._clock, self._n_steps = clock, n_steps
        self._last: Mapping[str, float] = {}

    def stepped(self, step: int, loss: float) -> None:
        """Take note of a step; may be called from a thread."""
        self._clock.stepped()
        self.show_step(self._status(step, loss))

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of a validation, whose metrics are named `<split>/<metric>`."""
        self._clock.validated()
        self._last = metrics
        self.show_round(self._status(step, metrics["train/loss"]))

    def resumed(self, history: list[dict[str, float]]) -> None:
        """Take the last validation of the rounds before."""
        self._last = history[-1] if history else {}

    def _status(self, step: int, loss: float) -> Status:
        return Status(
            step,
            self._n_steps,
            loss,
            self._last.get("val/loss", math.nan),
            self._last.get("val/macro_f1", math.nan),
            self._clock.images_per_s(),
            self._clock.seconds_left(step),
        )

    def show_step(self, status: Status) -> None:
        """Show the status after a step."""

    def show_round(self, status: Status) -> None:
        """Show the status after a validation."""

    def close(self) -> None:
        """End the view."""


class TerminalView(View):
    """One line that is drawn again, below the lines that others print."""

    _drawn_at = -math.inf

    def show_step(self, status: Status) -> None:  # noqa: D102
        if time.monotonic() - self._drawn_at >= PERIOD_S:
            self.show_round(status)

    def show_round(self, status: Status) -> None:  # noqa: D102
        self._drawn_at = time.monotonic()
        columns = shutil.get_terminal_size().columns  # asked each time: it may be resized
        sys.stderr.write(f"\r{status.line(columns)}\x1b[K")
        sys.stderr.flush()

    def close(self) -> None:  # noqa: D102
        if self._drawn_at > -math.inf:
            print(file=sys.stderr)


class LogView(View):
    """A plain line after each validation."""

    def show_round(self, status: Status) -> None:  # noqa: D102
        print(status.line(sys.maxsize), flush=True)


def view_of(n_steps: int, validate_every: int, batch_size: int, *, silent: bool) -> View:
    """Return the view for where the output goes."""
    kind = View if silent else TerminalView if on_terminal() else LogView
    return kind(Clock(n_steps, validate_every, batch_size), n_steps)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _clock(seconds: float) -> str:
    """Return 9:32, or 1:09:32."""
    if math.isnan(seconds):
        return "-:--"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
