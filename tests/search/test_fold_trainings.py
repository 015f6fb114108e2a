"""Trainings of folds as processes: their order, their lines, and the end of one that fails."""

import time
from pathlib import Path

import pytest

from hpa.config.params import Params, changed_params
from hpa.errors import UserError
from hpa.search import folds
from support.search_workspaces import small_params

TRAIN = """\
import pathlib, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
fold = int(options["--train.fold"])
began = time.time()
if fold == {resumed}:
    print("resuming from step 2, as in a folder", file=sys.stderr, flush=True)
for step in range(3 if fold == {resumed} else 1, 5):
    time.sleep({step_s})
    print(f"step {{step}}/4  loss 0.1", flush=True)
if fold == {failing}:
    sys.exit("error: no room")
output = pathlib.Path(options["--output"])
output.mkdir(parents=True)
(output / "times.txt").write_text(f"{{began}} {{time.time()}} {{options['--parent']}}")
"""
"""Stand-in for train.py."""


def make_source(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    resumed: int = -1,
    failing: int = -1,
    step_s: float = 0.01,
) -> None:
    text = TRAIN.format(resumed=resumed, failing=failing, step_s=step_s)
    (folder / "train.py").write_text(text)
    patch.setattr(folds, "SOURCE_DIR", folder)
    patch.setattr(folds, "POLL_S", 0.02)
    patch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def params() -> Params:
    return changed_params(small_params(), {"split.n_folds": 3})


def train(params: Params, folder: Path, which: list[int], n_workers: int) -> None:
    folds.train_folds(which, params, folder / "params.yaml", folder / "models", "r", n_workers)


def times(folder: Path) -> list[tuple[float, float]]:
    """Return when each fold began and ended."""
    words = [path.read_text().split() for path in sorted(folder.glob("models/*/times.txt"))]
    assert {each[2] for each in words} == {"r"}
    return [(float(each[0]), float(each[1])) for each in words]


def test_one_worker_trains_the_folds_one_after_the_other(
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_source(tmp_path, monkeypatch, resumed=1)
    train(params, tmp_path, [1, 2], 1)
    one, other = times(tmp_path)
    assert one[1] < other[0]
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "fold 1 of 3: resuming from step 2, as in a folder"
    assert lines[1].startswith("fold 1 of 3: step 3/4  loss 0.1  all folds: less than a minute")
    assert [line[:21] for line in lines[3:]] == [f"fold 2 of 3: step {k}/4" for k in (1, 2, 3, 4)]


def test_several_workers_train_at_once_and_share_the_cores(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_source(tmp_path, monkeypatch, step_s=0.3)
    train(params, tmp_path, [0, 1, 2], 2)
    began, ended = zip(*times(tmp_path), strict=True)
    assert sorted(began)[1] < min(ended) < sorted(began)[2]


def test_a_fold_that_fails_is_named_and_the_others_are_stopped(
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_source(tmp_path, monkeypatch, failing=1)
    text = (tmp_path / "train.py").read_text()
    (tmp_path / "train.py").write_text(text.replace("began =", "time.sleep(60 * (fold == 0)); b ="))
    started = time.monotonic()
    with pytest.raises(UserError, match=r"fold 1 could not be trained[\s\S]*exit code 1"):
        train(params, tmp_path, [0, 1, 2], 2)
    assert time.monotonic() - started < 30
    assert "fold 1 of 3: error: no room" in capfd.readouterr().out
    assert not (tmp_path / "models").exists()


def test_the_time_left_counts_all_folds_and_not_the_steps_before_a_resumption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    display = folds._Display(n_trained=3, n_folds=5, n_steps=100)
    display.show(2, "resuming from step 40, as in .checkpoints")
    clock[0] = 600.0
    display.show(2, "step 50/100  loss 0.1")  # 10 steps in 600 s; 50 + 200 are left
    assert capsys.readouterr().out.endswith("all folds: about 4 h 10 min left\n")
    display.finished(2)  # by patience: 200 are left, 60 were done
    display.show(3, "step 0/100")
    assert capsys.readouterr().out.endswith("all folds: about 33 min left\n")


def test_a_folder_with_other_networks_is_refused(
    params: Params, tmp_path: Path, packed_world: Path
) -> None:
    for name in ("fold-0", "fold-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.keras").touch()
    with pytest.raises(UserError, match=r"not of these 3 folds[\s\S]*fold-3") as refused:
        folds.missing_folds(params, tmp_path, packed_world, tmp_path)
    assert "fold-0/best.keras" not in str(refused.value)
    (tmp_path / "fold-3/best.keras").unlink()
    assert folds.missing_folds(params, tmp_path, packed_world, tmp_path) == [0, 1, 2]
