"""A terminal of a given width, as a program sees it."""

import fcntl
import os
import struct
import subprocess
import termios
from pathlib import Path


def run_on_terminal(command: list[str], *, columns: int, folder: Path, **environment: str) -> str:
    """Run a command with standard output and error on a terminal; return what it wrote."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, cwd=folder, env=inherited | environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux' way of saying that the other side is closed
        return b""
