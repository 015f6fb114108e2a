"""The project's files under git in a folder of their own: where the literal commands are tried."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.paths import ROOT


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the activated environment, as a user's terminal would."""
    process = start(folder, command, **environment)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def start(folder: Path, command: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command so, in a process group of its own.

    Kept are what locates the user, and what lets installers trust the machine's certificates.
    """
    keep = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT")
    variables = {key: os.environ[key] for key in keep if key in os.environ}
    variables |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        ["bash", "-c", f". .venv/bin/activate && {command}"],
        cwd=folder,
        env=variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def served_page(folder: Path, command: str) -> Iterator[dict[str, Any]]:
    """Run src/app.py on a free port for the block; yield what it says of its model."""
    process = start(folder, command.replace("app.py", "app.py --port 0"))
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        address = next(filter(None, (re.search(r"http://\S+?:\d+", line) for line in lines)))[0]
        with urllib.request.urlopen(f"{address}/api/model", timeout=60) as response:
            yield json.load(response)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def make_clone(folder: Path) -> Path:
    """Copy the tracked and new files of the repository, with a small world, and commit them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(lambda each: (ROOT / each).is_file(), listed.stdout.split("\n")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    link_environment(folder)
    write_small_params(folder / "params.yaml")
    for command in (
        "git init --quiet",
        "git add --all",
        "git -c user.name=t -c user.email=t@example.org commit --quiet --message small",
    ):
        subprocess.run(command.split(), cwd=folder, check=True)
    return folder


def link_environment(folder: Path) -> None:
    """Give a clone the repository's .venv, with its own path in it."""
    shutil.copytree(ROOT / ".venv" / "bin", folder / ".venv" / "bin", symlinks=True)
    for name in ("lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(ROOT / ".venv" / name)
    activate = folder / ".venv" / "bin" / "activate"
    activate.write_text(activate.read_text().replace(str(ROOT), str(folder)))


def write_small_params(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    document["fetch"] |= {"n_images": 60, "n_unlabelled": 4, "image_size": 64}
    document["pack"]["image_size"] = 32
    document["train"] |= {"n_steps": 8, "validate_every": 4, "checkpoint_every": 3, "batch_size": 8}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
