import os
import signal
import subprocess
import sys

import psutil
import pytest

from hpa.system import processes
from support.paths import PYTHONPATH

SLEEP = "from hpa.system.processes import identity; print(identity(), flush=True); input()"


def test_a_process_is_gone_once_it_has_ended_even_as_a_zombie() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEP],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        written = child.stdout.readline().strip()
        assert written.split()[1] == str(child.pid)
        assert not processes.is_gone(written)
        assert processes.is_alive(child.pid)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.is_gone(written)  # a zombie: its parent has not waited for it yet
        assert not processes.is_alive(child.pid)
    assert processes.is_gone(written)
    assert not processes.is_alive(child.pid)


def test_this_process_is_not_gone_however_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    written = processes.identity()
    start, boot = psutil.Process().create_time(), psutil.boot_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: start + 7200)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 7201)  # read a second later
    assert not processes.is_gone(written)


def test_another_process_with_the_same_id_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    written = processes.identity()
    start = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: start + 5)
    assert processes.is_gone(written)


def test_a_process_from_before_a_reboot_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    written = processes.identity()
    host = processes.host()
    monkeypatch.setattr(processes, "host", lambda: host)  # a machine id outlives the boot
    monkeypatch.setattr(processes, "_boot_id", lambda: "another-boot")
    assert processes.is_gone(written)


def test_a_process_of_another_machine_is_not_known_to_be_gone() -> None:
    host, _, start = processes.identity().split()
    assert not processes.is_gone(f"elsewhere/{host} 999999999 {start}")
    for written in ("", "nonsense", f"{host} word {start}", f"{host} 1 word"):
        assert not processes.is_gone(written)
    assert processes.is_gone(f"{host} 999999999 {start}")
