"""A PostgreSQL server on the loopback, from Debian's package `postgresql`."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")


def find_programs() -> Path | None:
    """Return the folder of initdb and postgres, the newest if there are several."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    folders = sorted(DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def serve_postgresql(programs: Path, folder: Path) -> Iterator[str]:
    """Run a new server with its files in `folder`; yield the URL of its database.

    PostgreSQL refuses to run as root, so root starts it as `nobody`, who needs access to `folder`.
    """
    data, port = folder / "data", free_port()
    data.mkdir(parents=True)
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(data, "nobody", "nogroup")
    run = {"cwd": data, "check": True, "stdout": subprocess.DEVNULL}
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "hpa", "--auth=trust", "-N"]
    subprocess.run([*user, *initdb], **run)  # type: ignore[call-overload]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    control = [*user, str(programs / "pg_ctl"), "-D", str(data), "-w"]
    log = ["-l", str(data / "log")]
    subprocess.run([*control, *log, "-o", options, "start"], **run)  # type: ignore[call-overload]
    try:
        yield f"postgresql://hpa@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
