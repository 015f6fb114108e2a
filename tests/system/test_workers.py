import os
import subprocess
import sys

import pytest

from hpa.errors import UserError
from hpa.system import workers


def test_workers_share_the_cores_equally(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for n_workers, each in ((1, "8"), (3, "2"), (8, "1"), (20, "1")):
        shares = workers.resource_shares(n_workers, 1)
        assert len(shares) == n_workers
        assert all(share == dict.fromkeys(workers.THREADS, each) for share in shares)


def test_each_worker_gets_its_own_gpus_and_more_workers_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5,7")
    assert [s["CUDA_VISIBLE_DEVICES"] for s in workers.resource_shares(4, 1)] == [
        "0",
        "2",
        "5",
        "7",
    ]
    assert [s["CUDA_VISIBLE_DEVICES"] for s in workers.resource_shares(2, 2)] == ["0,2", "5,7"]
    with pytest.raises(UserError, match=r"at most --workers 2 for 4 GPUs"):
        workers.resource_shares(3, 2)


@pytest.mark.slow
def test_tensorflow_starts_no_more_threads_than_its_worker_has() -> None:
    code = (
        "import sys; import tensorflow as tf\n"
        "a = tf.random.normal((300, 300)); tf.function(lambda: a @ a)()\n"
        "from pathlib import Path\n"
        "names = [p.read_text() for p in Path('/proc/self/task').glob('*/comm')]\n"
        "print(len(names))\n"
    )
    counts = {}
    for n in (1, 4):
        environment = {**os.environ, **dict.fromkeys(workers.THREADS, str(n))}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        counts[n] = int(done.stdout)
    # three pools: intra-op, inter-op and linear algebra
    assert counts[1] < counts[4] <= counts[1] + 3 * 3
