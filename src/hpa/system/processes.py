"""Which process is this, and is the one that somebody wrote down still alive?"""

import os
import socket
from pathlib import Path

PROC = Path("/proc")


def identity() -> str:
    """Name this process as `host pid start`, three words; see `is_gone`."""
    return f"{host()} {os.getpid()} {_start(os.getpid())}"


def host() -> str:
    """Name this machine, and the room of process numbers in it: containers have their own.

    The machine's id tells machines of one name apart; where there is none, the boot's id does.
    """
    machine = _read(Path("/etc/machine-id")) or _read(PROC / "sys/kernel/random/boot_id") or "-"
    try:
        room = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        room = 0
    return f"{socket.gethostname()}/{machine[:12]}/{room}"


def is_gone(written: str) -> bool:
    """Tell whether the process of an `identity` has ended; False for any of another machine.

    A number that another process has got since counts as gone: its start differs.
    """
    parts = written.split()
    if len(parts) != 3 or parts[0] != host() or not parts[1].isdigit():
        return False
    return _start(int(parts[1])) != parts[2]


def _start(pid: int) -> str | None:
    """Return boot and clock ticks at which a process started; None where there is none."""
    stat = _read(PROC / str(pid) / "stat")
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if fields[0] in "ZX":  # ended, but its parent has not asked yet
        return None
    boot = _read(PROC / "sys/kernel/random/boot_id") or ""
    return f"{boot[:8]}:{fields[19]}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
