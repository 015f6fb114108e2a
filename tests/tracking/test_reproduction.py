from pathlib import Path

import pytest
from dvc.repo import Repo

from hpa.errors import UserError
from hpa.system import files
from hpa.tracking import lineage, reproduction
from hpa.tracking.mlflow_store import PastRun
from hpa.tracking.reproduction import Verdict, prepare_clone

DIFFERENT = {"test/macro_f1": (0.4, 0.5)}


@pytest.mark.parametrize(
    ("verdict", "equal"),
    [
        (Verdict(True, {}, 3), True),
        (Verdict(None, {}, 3), True),  # no training of its own
        (Verdict(False, {}, 3), False),
        (Verdict(True, DIFFERENT, 3), False),
        (Verdict(None, DIFFERENT, 3), False),
    ],
)
def test_a_run_is_reproduced_if_neither_weights_nor_a_metric_differ(
    verdict: Verdict, equal: bool
) -> None:
    assert verdict.equal == equal


@pytest.fixture
def code_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Digest of a small project without Git, from whose store any artifact can be downloaded."""
    root = tmp_path / "project"
    for name in ("src/train.py", ".dvc/config", "dvc.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    type = copy\n")

    def download(_run_id: str, name: str, folder: Path) -> Path:
        (folder / name).write_text("of the run\n")
        return folder / name

    for module in (lineage, files, reproduction):
        monkeypatch.setattr(module, "SOURCE_DIR", root / "src")
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setattr(reproduction, "download", download)
    monkeypatch.setattr(reproduction, "_check_out_data", lambda *_: None)
    return files.code_sha256([root / "src"])


def repo_config(folder: Path) -> dict[str, bool]:
    """Return the section `core` as DVC reads it; DVC opens the folder without Git."""
    found = Repo(str(folder)).config["core"]
    return {key: found[key] for key in ("no_scm", "analytics")}


def past(commit: str, code: str) -> PastRun:
    tags = {"git.commit": commit, "git.dirty": "unknown", "code.sha256": code}
    return PastRun("0123", "FINISHED", {}, tags, {})


@pytest.mark.parametrize("commit", ["unknown", "sha256:0123", "0" * 40])
def test_equal_code_is_copied_if_there_is_no_commit(
    commit: str, code_sha256: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = tmp_path / "clone"
    prepare_clone(past(commit, code_sha256), clone)
    assert (clone / "src/train.py").read_text() == "# src/train.py\n"
    assert (clone / "params.yaml").read_text() == (clone / "dvc.lock").read_text() == "of the run\n"
    assert repo_config(clone) == {"no_scm": True, "analytics": False}
    assert "the present code has the run's digest and is copied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("commit", "missing"),
    [
        ("unknown", "the run was made without a Git commit"),  # by an earlier version
        ("sha256:0123", "the run was made without a Git commit"),
        ("0" * 40, "is not a Git repository, so the run's commit cannot be checked out"),
    ],
)
def test_other_code_is_refused_and_what_is_missing_is_named(
    commit: str, missing: str, code_sha256: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=missing) as refused:
        prepare_clone(past(commit, "ab" * 32), tmp_path / "clone")
    said = str(refused.value)
    assert "ab" * 32 in said
    assert code_sha256 in said
    assert "mlflow artifacts download --run-id 0123" in said
