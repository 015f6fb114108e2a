"""The lineage of a run, whatever bytes its files hold."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hpa.config.params import load_params
from hpa.system import files
from hpa.tracking import lineage
from support.paths import ROOT

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


def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's code in a folder, as if it ran."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text("print('train')\n")
    (folder / "params.yaml").write_text("loss: {gamma: 1.0}\n")
    monkeypatch.setattr(lineage, "SOURCE_DIR", folder / "src")
    monkeypatch.setattr(files, "SOURCE_DIR", folder / "src")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent.parent))
    return folder


def commit(folder: Path, *names: str) -> None:
    git(folder, "init", "--quiet")
    git(folder, "add", *names)
    git(folder, "commit", "--quiet", "-m", "all")


def unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, monkeypatch)


def in_a_foreign_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, monkeypatch)
    (folder.parent / "thesis.txt").write_text("not this project")
    commit(folder.parent, "thesis.txt")


def of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(project(folder, monkeypatch), ".")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def without_a_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project(folder, monkeypatch), "init", "--quiet")


def without_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(project(folder, monkeypatch), ".")
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("prepare", "problem", "remedy"),
    [
        (unpacked, "is not a Git repository", "git init && git add --all && git commit"),
        (in_a_foreign_repository, "does not track", "git init"),
        (of_another_user, "another user", "git config --global --add safe.directory /"),
        (without_a_commit, "has no commit yet", "git add --all && git commit"),
        (without_git, "git is not installed", "install git"),
    ],
)
def test_without_a_commit_the_digest_of_the_code_is_recorded_and_a_warning_tells_the_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path, pytest.MonkeyPatch], None],
    problem: str,
    remedy: str,
) -> None:
    folder = tmp_path / "above" / "project"
    folder.parent.mkdir()
    prepare(folder, monkeypatch)
    found = lineage.lineage()
    assert found["git.commit"] == f"sha256:{found['code.sha256']}"
    assert found["git.dirty"] == "unknown"
    assert lineage.code_diff() == b""
    said = lineage.History.read().warning()
    assert problem in said
    assert remedy in said
    (folder / "src" / "train.py").write_text("print('other')\n")
    assert lineage.lineage()["git.commit"] != found["git.commit"]


def test_a_project_in_a_folder_of_its_repository_has_that_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path / "above" / "project", monkeypatch)
    commit(tmp_path / "above", ".")
    assert len(lineage.lineage()["git.commit"]) == 40
    assert lineage.lineage()["git.dirty"] == "false"


def test_parameters_of_a_commit_are_read_whatever_the_file_holds_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project", monkeypatch)
    commit(tmp_path / "project", ".")
    revision = lineage.lineage()["git.commit"]
    (folder / "params.yaml").write_text("loss: {gamma: 9}\n")
    found = lineage.committed_params(revision)
    assert found == {"loss.gamma": 1.0}
    for absent in ("0" * 40, "sha256:5eed", "--help", "", "HEAD:src"):
        assert lineage.committed_params(absent) == {}


def test_without_git_a_run_is_named_by_what_differs_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path / "above" / "project", monkeypatch)
    params = load_params(ROOT / "params.yaml", {"loss.gamma": 2.8})
    assert lineage.differences(params) == {"loss.gamma": 2.8}
