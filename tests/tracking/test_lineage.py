"""The lineage of a run, whatever bytes its files hold."""

import subprocess
from pathlib import Path

import pytest

from hpa.tracking import lineage

LATIN, CRLF = "# M\xfcller\n".encode("latin-1"), b"a\r\nb\r\n"


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "core.autocrlf=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_the_patch_restores_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    for name in ("latin.py", "crlf.txt"):
        (tmp_path / "src" / name).write_bytes(b"old\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "old")
    contents = {"latin.py": LATIN, "crlf.txt": CRLF, "new.py": LATIN + CRLF}
    for name, content in contents.items():
        (tmp_path / "src" / name).write_bytes(content)
    monkeypatch.setattr(lineage, "SOURCE_DIR", tmp_path / "src")
    diff = tmp_path / "code.diff"
    diff.write_bytes(lineage.code_diff())
    (tmp_path / "src" / "new.py").unlink()
    git(tmp_path, "checkout", "--quiet", "--", ".")
    git(tmp_path, "apply", "--whitespace=nowarn", str(diff))
    for name, content in contents.items():
        assert (tmp_path / "src" / name).read_bytes() == content


def test_the_backend_is_part_of_the_lineage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert lineage.lineage()["keras.backend"] == "jax"
