"""Process liveness: identify this process in a file or tag, and tell later whether it has ended."""

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import psutil

PROC = Path("/proc")
IDENTITY = re.compile(r"(?P<host>\S+) (?P<pid>\d+) (?P<boot>\S+):(?P<seconds>\d+(\.\d+)?)")
TOLERANCE_S = 2.0
"""Allowed between two readings of the same start: some systems give the boot in whole seconds."""


def identity(pid: int | None = None) -> str:
    """Return `host pid boot:seconds` of a process, by default this one; `is_gone` reads it."""
    pid = os.getpid() if pid is None else pid
    boot, seconds = _start(pid) or ("-", 0.0)
    return f"{host()} {pid} {boot}:{seconds:.2f}"


def setter_of(variable: str) -> psutil.Process | None:
    """Return the ancestor that gave this process an environment variable; None if unknown.

    It is the nearest one that was itself started without the variable, or with another value.
    """
    value = os.environ.get(variable)
    with suppress(psutil.Error):  # of another user
        for ancestor in psutil.Process().parents():
            if ancestor.environ().get(variable) != value:
                return ancestor
    return None


def is_python(process: psutil.Process) -> bool:
    """Tell whether a process runs Python, by whatever script it was started."""
    try:
        return Path(process.exe()).name.startswith("python")
    except psutil.Error:
        return False


def host() -> str:
    """Return one word for this machine and its namespace of process ids; containers have their own.

    The machine id tells machines of one name apart; without one, the boot id does.
    """
    machine = _read(Path("/etc/machine-id")) or _boot_id()
    try:
        namespace = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{machine[:12]}/{namespace}"


def is_gone(written: str) -> bool:
    """Tell whether the process of an `identity` has ended; False if it is of another machine.

    A process id that has been given to another process since counts as gone.
    """
    match = IDENTITY.fullmatch(written)
    if match is None or match["host"] != host():
        return False
    start = _start(int(match["pid"]))
    if start is None or start[0] != match["boot"]:
        return True
    return abs(start[1] - float(match["seconds"])) > TOLERANCE_S


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id runs here; a zombie does not."""
    return _start(pid) is not None


def _start(pid: int) -> tuple[str, float] | None:
    """Return the boot, and the seconds from it to the start of a process; None if it has ended.

    Setting the clock changes neither.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return _boot_id()[:8], process.create_time() - psutil.boot_time()
    except psutil.NoSuchProcess:
        return None


def _boot_id() -> str:
    """Return the id that Linux draws at each boot; `-` on other systems."""
    return _read(PROC / "sys/kernel/random/boot_id") or "-"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
