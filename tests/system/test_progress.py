"""Progress of long work, on a terminal and in a log."""

import re
import subprocess
import sys
from pathlib import Path

from support.paths import PYTHONPATH
from support.terminals import run_on_terminal

WORK = """\
import time
from tqdm import tqdm
from hpa.system import progress
progress.PERIOD_S = 0.1
started = time.time()
with progress.progress(what="pack", total=40) as bar:
    for image in range(40):
        time.sleep(0.01)
        bar.update()
        if SAYS: tqdm.write(f"image {image}")
print(time.time() - started)
"""


def run_in_log(work: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", work],
        env={"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_terminal_shows_a_bar_that_fits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORK.replace("SAYS", "False")]
    written = run_on_terminal(command, columns=40, folder=tmp_path, PYTHONPATH=PYTHONPATH)
    drawn = re.split(r"[\r\n]+", written.strip())[:-1]  # without the seconds
    assert "40/40" in drawn[-1]
    assert max(map(len, drawn)) <= 40


def test_a_log_has_occasional_lines_and_nothing_that_is_drawn_again() -> None:
    done = run_in_log(WORK.replace("SAYS", "False"))
    *lines, end = done.stderr.split("\n")
    assert 1 <= len(lines) <= float(done.stdout) / 0.1
    assert all(re.fullmatch(r"pack: \d+ of 40 images, 00:\d\d left", line) for line in lines)
    assert end == ""


def test_other_lines_of_a_log_cause_no_lines_of_progress() -> None:
    done = run_in_log(WORK.replace("SAYS", "True"))
    *said, seconds = done.stdout.splitlines()
    assert said == [f"image {number}" for number in range(40)]
    assert len(done.stderr.splitlines()) <= float(seconds) / 0.1
    assert "\r" not in done.stderr
