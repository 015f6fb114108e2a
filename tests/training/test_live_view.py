"""Progress of a training, as a terminal and a log file show it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpa.training import live_view
from hpa.training.live_view import Clock, Status, view_of
from support.paths import PYTHONPATH
from support.terminals import run_on_terminal

TRAINING = """\
from contextlib import closing
from hpa.training.live_view import view_of
with closing(view_of(8, 4, 32, silent=False)) as view:
    for step in range(1, 9):
        view.stepped(step, 0.0714)
        if step % 4 == 0:
            view.validated(step, {"train/loss": 0.07, "val/loss": 0.06, "val/macro_f1": 0.213})
"""
COMMAND = [sys.executable, "-c", TRAINING]


@pytest.mark.parametrize(
    ("columns", "last"),
    [
        (100, r"step 8/8  loss 0\.070  val loss 0\.060  macro F1 0\.213  \d+ images/s  0:00 left"),
        (40, r"8/8 loss 0\.07 F1 0\.21 \d+/s 0:00"),
        (10, r"8/8 loss "),
    ],
)
def test_a_terminal_shows_one_line_that_fits_and_does_not_scroll_away(
    tmp_path: Path, columns: int, last: str
) -> None:
    written = run_on_terminal(COMMAND, columns=columns, folder=tmp_path, PYTHONPATH=PYTHONPATH)
    assert written.count("\n") == 1
    assert written.endswith("\n")
    lines = re.findall(r"\r([^\r\n\x1b]+)\x1b\[K", written)
    assert max(map(len, lines)) < columns
    assert re.fullmatch(last, lines[-1])


def test_a_log_has_a_whole_line_for_each_round_and_nothing_that_is_drawn_again() -> None:
    done = subprocess.run(
        COMMAND, env={"PYTHONPATH": PYTHONPATH}, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("step 4/8  loss 0.070  val loss 0.060  macro F1 0.213  ")
    assert second.startswith("step 8/8  ")
    assert not re.search(r"[\r\x1b]", done.stdout)
    assert done.stderr == ""


def test_a_silent_training_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    view = view_of(8, 4, 32, silent=True)
    view.stepped(1, 0.5)
    view.validated(4, {"train/loss": 0.1})
    view.close()
    assert capfd.readouterr() == ("", "")


def test_what_is_left_counts_steps_and_validations_and_no_compilation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps of 2 s, 30 s for the first, validations of 10 s; after 6 of 12: 6 · 2 + 2 · 10."""
    times = iter([30.0, 32.0, 34.0, 36.0, 46.0, 76.0, 78.0])
    monkeypatch.setattr(live_view.time, "perf_counter", lambda: next(times))
    clock = Clock(12, 4, 32)
    for _ in range(4):
        clock.stepped()
    clock.validated()
    for _ in range(2):
        clock.stepped()
    assert clock.images_per_s() == 16.0
    assert clock.seconds_left(6) == 32.0
    assert clock.seconds_left(12) == 0.0


def test_the_last_round_may_be_shorter_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 steps, validated after 4 and 5: one step of 1 s and one validation of 3 s are left."""
    times = iter([1.0, 2.0, 5.0])
    monkeypatch.setattr(live_view.time, "perf_counter", lambda: next(times))
    clock = Clock(5, 4, 8)
    clock.stepped()
    clock.stepped()
    clock.validated()
    assert clock.seconds_left(4) == 4.0


def test_a_long_training_has_all_six_numbers_in_words_on_eighty_columns() -> None:
    status = Status(1200, 6400, 0.071, 0.066, 0.213, 129, 5720)
    assert status.line(80) == (
        "step 1200/6400 loss 0.071 val 0.066 macro F1 0.213 129 images/s 1:35:20 left"
    )


def test_long_times_have_hours_and_what_is_unknown_is_a_dash() -> None:
    assert Status(1, 640, seconds_left=4172).line(200).endswith("- images/s  1:09:32 left")
    assert Status(1, 640).line(40) == "1/640 loss - F1 - -/s -:--"
