import os
import signal
import subprocess
import sys

from hpa.system import processes


def test_a_living_process_is_not_gone_and_an_ended_one_is() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mine = processes.identity()
    written = f"{processes.host()} {child.pid} {processes._start(child.pid)}"
    assert not processes.is_gone(mine)
    assert not processes.is_gone(written)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.is_gone(written)  # a zombie: its parent has not asked yet
    child.wait()
    assert processes.is_gone(written)


def test_another_process_under_the_same_number_does_not_count() -> None:
    host, pid, start = processes.identity().split()
    assert processes.is_gone(f"{host} {pid} {start}0")


def test_a_process_of_another_machine_is_never_gone() -> None:
    host, _, start = processes.identity().split()
    assert not processes.is_gone(f"elsewhere/{host} 999999999 {start}")
    for written in ("", "nonsense", f"{host} word {start}"):
        assert not processes.is_gone(written)
