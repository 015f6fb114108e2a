"""`src/experiment.py` stopped by a signal during a stage."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.scripts import ROOT

STAGE = """\
import time
from pathlib import Path
from hpa.config import command_line
from hpa.system.signals import postponed_signals
def main(argv=None):
    with postponed_signals() as received:
        Path("begun").touch()
        while not received: time.sleep(0.05)
        time.sleep(1)
        Path("checkpoint").write_text("whole")
    raise SystemExit(128 + received[0])
if __name__ == "__main__":
    command_line.run(main)
"""
DVC = """\
import signal, subprocess, sys
signal.signal(signal.SIGINT, lambda *_: None)  # as DVC does while a stage runs
subprocess.run([sys.executable, "stage.py"])
"""
PARENT = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import experiment, stage
folder = Path(sys.argv[1])
experiment.STAGES["train"] = stage.main
def main():
    try: RUN
    finally: (folder / "checkpoint").rename(folder.with_name("kept"))
experiment.command_line.run(main)
"""
BELOW_DVC = "experiment.run('dvc')"
WITHIN = "experiment.run_stage('train', folder)"


@pytest.mark.parametrize(
    ("run", "signals", "to_all"),
    [
        (WITHIN, [signal.SIGINT], True),  # Ctrl-C on a terminal
        (WITHIN, [signal.SIGINT, signal.SIGTERM], True),  # the same below `mlflow run`
        (WITHIN, [signal.SIGTERM], False),
        (WITHIN, [signal.SIGTERM], True),  # from a scheduler, to all processes of a job
        (WITHIN, [signal.SIGHUP], True),  # a closed terminal
        (WITHIN, [signal.SIGHUP, signal.SIGTERM], True),  # below `mlflow run`, which it ends
        (BELOW_DVC, [signal.SIGINT, signal.SIGTERM], True),
        (BELOW_DVC, [signal.SIGTERM], False),  # DVC keeps it from its stages
    ],
)
def test_the_folder_is_kept_until_the_stage_has_ended(
    run: str, signals: list[signal.Signals], to_all: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc").write_text(DVC)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("RUN", run), str(folder)],
        cwd=folder,
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
