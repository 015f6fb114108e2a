"""Requests to stop: the step ends first, unless they are repeated."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.paths import PYTHONPATH

STEPS = """\
import sys, time
from pathlib import Path
from hpa.config import command_line
from hpa.system.signals import postponed_signals
command_line.SAME_REQUEST_S = 0.3
def main():
    with postponed_signals() as received:
        Path("begun").write_text("1")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.05)
            print("a step", flush=True)
            print("a step", file=sys.stderr, flush=True)
            if received and until > time.monotonic() + 1: until = time.monotonic() + 1
    Path("ended").write_text(str([*map(int, received)]))
    raise SystemExit(128 + received[0])
command_line.run(main)
"""


def start(folder: Path, output: int, *, ignored: bool = False) -> "subprocess.Popen[bytes]":
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-c", STEPS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdout=output,
        stderr=output,
        preexec_fn=prepare,
    )
    until = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_request_waits_for_the_step_and_its_echo_does_not_hasten_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(tmp_path, subprocess.DEVNULL)
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)  # from the process above, which was asked as well
    assert process.wait(timeout=30) == 128 + number
    assert (tmp_path / "ended").read_text() == str([int(number)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_acts_at_once(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, subprocess.DEVNULL)
    process.send_signal(number)
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number
    assert not (tmp_path / "ended").exists()


def test_a_closed_terminal_refuses_to_be_written_and_the_step_still_ends(tmp_path: Path) -> None:
    terminal, output = pty.openpty()
    process = start(tmp_path, output)
    os.close(output)
    process.send_signal(signal.SIGHUP)
    os.close(terminal)
    assert process.wait(timeout=30) == 128 + signal.SIGHUP
    assert (tmp_path / "ended").exists()


def test_nohup_keeps_a_process_when_its_terminal_is_closed(tmp_path: Path) -> None:
    process = start(tmp_path, subprocess.DEVNULL, ignored=True)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert (tmp_path / "ended").read_text() == str([int(signal.SIGTERM)])
