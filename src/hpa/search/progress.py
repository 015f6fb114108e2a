"""Progress of a study, read from its storage: workers on any machine report their steps there."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from statistics import mean

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpa.search.study import DONE, Study

STEPS = "steps"
"""User attribute of a trial: steps done, steps planned, seconds per step (null: unknown)."""
REPORT_S, LINE_S = 5.0, 60.0
"""Seconds between two reports of a trial, and between two lines where there is no terminal."""
RECENT = 8
"""Ended trials whose length predicts that of the next ones."""


def report_steps(trial: optuna.Trial, n_steps: int) -> Callable[[int], None]:
    """Return a callback for `fit` that reports the steps of a trial, at most every REPORT_S.

    The first step of a process builds the network, so seconds per step leave it out.
    """
    first: tuple[int, float] | None = None
    due = 0.0

    def on_step(step: int) -> None:
        nonlocal first, due
        now = time.monotonic()
        if now < due and step < n_steps:
            return
        first, due = first or (step, now), now + REPORT_S
        seconds = (now - first[1]) / (step - first[0]) if step > first[0] else None
        with suppress(Exception):  # a storage that is away for a moment ends no training
            trial.set_user_attr(STEPS, [step, n_steps, seconds])

    return on_step


def seconds_left(
    trials: Sequence[FrozenTrial], n_trials: int, n_workers: int, now: datetime
) -> float | None:
    """Estimate the seconds until `n_trials` are done; None before a trial has measured its speed.

    A trial to come takes as long as the recent ones, of which pruned and equal ones are shorter; a
    running one has its own speed. Workers are `n_workers`, or more if more trials are running.
    """
    ended, running = _ended(trials), _running(trials)
    lengths = [trial.duration.total_seconds() for trial in ended[-RECENT:] if trial.duration]
    length = mean(lengths or [speed * of for _, of, speed in map(_steps, running) if speed] or [0])
    if not length:
        return None
    left = [_own_seconds_left(trial, length, now) for trial in running]
    to_come = length * max(0, n_trials - len(ended) - len(running))
    return max([(sum(left) + to_come) / max(n_workers, len(running)), *left])


def describe(study: Study, n_workers: int) -> str:
    """Describe a study in a line, the most important first, as a narrow terminal cuts its end."""
    trials = study.trials()
    ended, running = _ended(trials), _running(trials)
    pruned = sum(trial.state is TrialState.PRUNED for trial in ended)
    parts = [f"{len(ended)} of {study.n_trials} {study.unit}s{f', {pruned} pruned' * bool(pruned)}"]
    if len(ended) < study.n_trials:
        parts.append(in_words(seconds_left(trials, study.n_trials, n_workers, datetime.now())))
    parts += [_position(trial, study.unit) for trial in running]
    if not ended and not running:
        parts.append("workers are starting")
    if best := _best(study):
        parts.append(f"best {best.value:.4f}")
    return " · ".join(parts)


def ending(study: Study, trial: FrozenTrial) -> str:
    """Describe how a trial ended, and the best so far."""
    count, what = f"{study.n_done()} of {study.n_trials} done", f"{study.unit} {trial.number}"
    if trial.state is TrialState.FAIL:
        return f"{what}: failed: {trial.user_attrs.get('failure', 'its worker stopped')}"
    if trial.state is TrialState.PRUNED:
        return f"{what}: pruned; {count}"
    twin = trial.user_attrs.get("same_as")
    note = "" if twin is None else f", that of the equal trial {twin}"
    if best := _best(study):
        note += f"; best {best.value:.4f} of trial {best.number}"
    elif trial.params.keys() >= {"candidate", "train.seed"}:
        what += f", {trial.params['candidate']} parameters, seed {trial.params['train.seed']}"
    return f"{what}: {trial.value:.4f}{note}; {count}"


class ProgressDisplay:
    """A line that is updated on a terminal, elsewhere one a minute; and a line per ended trial.

    The process that starts workers shows them all, also trials of other machines.
    """

    def __init__(self, study: Study, n_workers: int) -> None:
        """Show no trial that has ended before."""
        self._study, self._n_workers = study, n_workers
        self._shown = {trial.number for trial in study.trials() if trial.state.is_finished()}
        self._is_live = sys.stderr.isatty()
        self._due = time.monotonic() + LINE_S

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def update(self) -> None:
        """Show trials that have ended, then the state of the study."""
        for trial in self._study.trials():
            if trial.state.is_finished() and trial.number not in self._shown:
                self._shown.add(trial.number)
                self._clear()
                failed = trial.state is TrialState.FAIL
                text, place = ending(self._study, trial), sys.stderr if failed else sys.stdout
                print(text, file=place, flush=True)
        if self._is_live:
            width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
            self._clear()
            print(self._line()[:width], end="\r", file=sys.stderr, flush=True)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_S
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        name = "confirmation" if self._study.candidates else self._study.name
        return f"{name}: {describe(self._study, self._n_workers)}"

    def _clear(self) -> None:
        """Clear the line; the cursor is at its start, so that others write over it."""
        if self._is_live:
            print("\x1b[2K", end="", file=sys.stderr, flush=True)


def _ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state in DONE]


def _running(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state is TrialState.RUNNING]


def _steps(trial: FrozenTrial) -> tuple[int, int, float | None]:
    """Return steps done, steps planned and seconds per step, as reported last."""
    done, planned, seconds = trial.user_attrs.get(STEPS, (0, 0, None))
    return done, planned, seconds


def _own_seconds_left(trial: FrozenTrial, length: float, now: datetime) -> float:
    done, planned, seconds = _steps(trial)
    if seconds:
        return seconds * (planned - done)
    started = trial.datetime_start or now
    return max(0.0, length - (now - started).total_seconds())


def _best(study: Study) -> FrozenTrial | None:
    """Return the best trial so far; None in a comparison, and before any is complete."""
    complete = [trial for trial in study.trials() if trial.state is TrialState.COMPLETE]
    return study.optuna.best_trial if complete and not study.candidates else None


def _position(trial: FrozenTrial, unit: str) -> str:
    done, planned, _ = _steps(trial)
    state = "starting" if not planned else "evaluating" if done == planned else ""
    return f"{unit} {trial.number}: {state or f'step {done}/{planned}'}"


def in_words(seconds: float | None) -> str:
    """Return the time that is left in minutes and hours."""
    if seconds is None:
        return "estimating time left"
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    hours, rest = divmod(minutes, 60)
    return f"about {f'{hours} h {rest} min' if hours else f'{minutes} min'} left"
