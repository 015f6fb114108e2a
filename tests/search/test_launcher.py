import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.trial import FrozenTrial

from hpa.errors import UserError
from hpa.search import launcher
from hpa.search.study import begin_study
from hpa.system import workers
from support.search_workspaces import make_workspace, small_params


def test_a_study_in_a_sqlite_file_is_refused_for_several_machines(
    packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_workspace(tmp_path / "workspace", packed_world))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    study = begin_study(small_params())
    launcher._require_shared(study, ["tcp://10.0.0.1:40000", "tcp://10.0.0.1:40001"])
    with pytest.raises(UserError, match="a study in a SQLite file is limited to one machine"):
        launcher._require_shared(study, ["tcp://10.0.0.1:40000", "tcp://10.0.0.2:40000"])


@dataclass
class StudyOfOne:
    """Stand-in for a study of one trial, done once a file exists; fails after a minute."""

    done: Path
    name: str = "hpa"
    n_trials: int = 1
    unit: str = "trial"
    candidates: None = None
    storage: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(url="sqlite:///f"))
    until: float = field(default_factory=lambda: time.monotonic() + 60)

    def trials(self) -> list[FrozenTrial]:
        return []

    def n_done(self) -> int:
        assert time.monotonic() < self.until, "the search waits for a lost worker"
        return int(self.done.exists())


@pytest.mark.slow
@pytest.mark.parametrize("survivors", [1, 0])
def test_a_lost_worker_of_a_cluster_does_not_block_the_search(
    survivors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task kills its Dask worker; the second finishes the study three seconds later."""
    from distributed import LocalCluster

    script = (
        "import os, pathlib, signal, time\n"
        "number = 0\n"
        "while True:\n"
        "    try: pathlib.Path(f'begun-{number}').touch(exist_ok=False); break\n"
        "    except FileExistsError: number += 1\n"
        f"if number >= {2 - survivors}:\n"
        "    time.sleep(3); pathlib.Path('done').touch()\n"
        "else: os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, "_command", lambda _: [sys.executable, "-c", script])
    study = StudyOfOne(tmp_path / "done")
    ends = nullcontext() if survivors else pytest.raises(UserError, match="all workers ended")
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            env={"PYTHONPATH": str(workers.SOURCE_DIR)},
        ) as cluster,
        ends,
    ):
        launcher.work_on_cluster(study, cluster.scheduler_address)  # type: ignore[arg-type]
