"""`src/experiment.py` stopped by a signal during a stage."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.scripts import ROOT

CHILD = """\
import time
from pathlib import Path
from hpa.config import command_line
from hpa.system.signals import postponed_signals
def main():
    with postponed_signals() as received:
        Path("begun").touch()
        while not received: time.sleep(0.05)
        time.sleep(1)
        Path("checkpoint").write_text("whole")
    raise SystemExit(128 + received[0])
command_line.run(main)
"""
DVC = """\
import subprocess, sys
subprocess.run([sys.executable, "child.py"])
"""
PARENT = """\
import shutil, sys
from pathlib import Path
from experiment import command_line, run
folder = Path(sys.argv[1])
def main():
    try: run(sys.argv[2], folder=folder)
    finally: (folder / "checkpoint").rename(folder.with_name("kept"))
command_line.run(main)
"""


@pytest.mark.parametrize(
    ("script", "signals", "to_all"),
    [
        ("child.py", [signal.SIGINT], True),  # Ctrl-C on a terminal
        ("child.py", [signal.SIGINT, signal.SIGTERM], True),  # the same below `mlflow run`
        ("child.py", [signal.SIGTERM], False),
        ("dvc", [signal.SIGTERM], False),  # which keeps it from its stages
        ("child.py", [signal.SIGTERM], True),  # from a scheduler, to all processes of a job
        ("child.py", [signal.SIGHUP], True),  # a closed terminal
        (
            "child.py",
            [signal.SIGHUP, signal.SIGTERM],
            True,
        ),  # the same below `mlflow run`, which it ends
    ],
)
def test_the_folder_is_kept_until_the_stage_has_ended(
    script: str, signals: list[signal.Signals], to_all: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "child.py").write_text(CHILD)
    (folder / "dvc").write_text(DVC)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), script],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as on a terminal
        text=True,
    )
    until = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    first, *more = signals
    (os.killpg if to_all else os.kill)(parent.pid, first)
    for each in more:
        time.sleep(0.5)
        parent.send_signal(each)
    _, said = parent.communicate(timeout=60)
    assert (tmp_path / "kept").read_text() == "whole", said
    assert parent.returncode == 128 + first
