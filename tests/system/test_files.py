"""Files are whole or absent, whatever happens while they are written."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.system.files import (
    atomic_files,
    atomic_path,
    read_json,
    require_free_space,
    sha256,
    write_json,
)
from support.paths import ROOT

SRC = ROOT / "src"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_succeeds_gives_the_file_its_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "weights.keras"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == path.parent
        temporary.write_bytes(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert names(path.parent) == ["weights.keras"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError, match="midway"), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyError("midway")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_takes_the_place_of_an_older_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    for content in ("one", "two"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / f"{content}.txt").write_text(content)
    assert names(path) == ["two.txt"]
    assert names(tmp_path) == ["packed"]


def test_a_block_that_writes_nothing_leaves_the_older_folder(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "packed"):
        pass
    assert caught.value.__cause__ is None
    assert names(tmp_path) == ["packed"]
    assert names(tmp_path / "packed") == ["old.txt"]


def test_a_link_to_a_folder_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old.txt").write_text("old")
    (tmp_path / "packed").symlink_to("elsewhere")
    with atomic_path(tmp_path / "packed") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["elsewhere", "packed"]
    assert names(tmp_path / "packed") == []
    assert names(tmp_path / "elsewhere") == ["old.txt"]


@pytest.mark.parametrize("owner", ["dead", "same"])
def test_the_leftovers_of_a_killed_process_are_removed_by_the_next_writer(
    tmp_path: Path, owner: str
) -> None:
    """In a container the next process often has the killed one's id."""
    pid = dead_pid() if owner == "dead" else os.getpid()
    (tmp_path / f".partial-{pid}-packed").mkdir()
    (tmp_path / f".partial-{pid}-packed" / "half.npy").write_bytes(b"half")
    with atomic_path(tmp_path / "packed") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["packed"]


def test_the_file_that_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f".partial-{os.getppid()}-a.txt").write_text("half")
    write_json(tmp_path / "a.txt", 1)
    assert names(tmp_path) == [f".partial-{os.getppid()}-a.txt", "a.txt"]


def test_a_folder_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    old = tmp_path / f".old-{dead_pid()}-packed"
    old.mkdir()
    (old / "old.txt").write_text("old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "packed"):
        raise KeyError("midway")
    assert names(tmp_path) == ["packed"]
    assert names(tmp_path / "packed") == ["old.txt"]


def test_sigkill_midway_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "old")
    killed = run_python(
        "import os, signal; from pathlib import Path; from hpa.system.files import atomic_path\n"
        f"with atomic_path(Path({str(tmp_path / 'a.json')!r})) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert killed.returncode == -signal.SIGKILL
    assert read_json(tmp_path / "a.json") == "old"
    write_json(tmp_path / "a.json", "new")
    assert names(tmp_path) == ["a.json"]


def test_sigterm_midway_leaves_nothing_behind(tmp_path: Path) -> None:
    stopped = run_python(
        "import os, signal; from pathlib import Path\n"
        "from hpa.config import command_line; from hpa.system.files import atomic_path\n"
        "def main():\n"
        f"    with atomic_path(Path({str(tmp_path / 'a.json')!r})) as temporary:\n"
        "        temporary.write_text('half'); os.kill(os.getpid(), signal.SIGTERM)\n"
        "command_line.run(main)"
    )
    assert stopped.returncode == 143
    assert stopped.stderr == ""
    assert names(tmp_path) == []


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "a.json"
    write_json(path, "old")
    with pytest.raises(UserError, match=r"disk is full: .*a\.json(.|\n)*errno 28"):
        write_json(path, "x" * 200_000)
    assert read_json(path) == "old"
    assert names(small_disk) == ["a.json"]


def test_a_file_size_limit_is_a_clear_error(tmp_path: Path) -> None:
    limited = run_python(
        "import resource; from pathlib import Path; from hpa.config import command_line\n"
        "from hpa.system import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"command_line.run(lambda: files.write_json(Path({str(tmp_path)!r}) / 'a', 'x' * 2000))"
    )
    assert limited.returncode == 2
    assert limited.stderr.startswith("error: the disk is full")
    assert names(tmp_path) == []


def test_a_read_only_folder_is_a_clear_error(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(UserError, match=r"a\.json could not be written(.|\n)*Read-only"):
        write_json(small_disk / "a.json", 1)
    with pytest.raises(UserError, match="new could not be written"):
        require_free_space(small_disk / "new", 1, "a test")


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "best.keras").write_bytes(b"weights")
    with pytest.raises(UserError, match="model is a folder"):
        write_json(tmp_path / "model", {})
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "best.keras").read_bytes() == b"weights"


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", None])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json cannot be read"):
        read_json(path)


def test_json_is_readable_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"µ": [1, 0.5, None]})
    assert read_json(path) == {"µ": [1, 0.5, None]}
    assert path.read_text(encoding="utf-8").startswith('{\n  "µ": [')
    with pytest.raises(ValueError, match="nan"):
        write_json(path, float("nan"))
    assert read_json(path) == {"µ": [1, 0.5, None]}


def test_the_digest_is_that_of_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_too_little_free_space_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    require_free_space(tmp_path / "new", 1000, "a test")
    with pytest.raises(UserError, match=r"for a test(.|\n)*1,000,000,000,000 MB free"):
        require_free_space(tmp_path, 10**18, "a test")


def test_files_replace_those_of_a_folder_together_and_leave_the_others(tmp_path: Path) -> None:
    model = tmp_path / "model"
    with atomic_files(model) as folder:
        (folder / "weights").write_text("one")
    (model / "thresholds").write_text("chosen")
    with atomic_files(model) as folder:
        (folder / "weights").write_text("two")
        assert (model / "weights").read_text() == "one"
    assert {path.name: path.read_text() for path in model.iterdir()} == {
        "weights": "two",
        "thresholds": "chosen",
    }
    assert names(tmp_path) == ["model"]


def test_a_block_that_fails_leaves_the_files_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("old")
    leftover = tmp_path / f"model/.partial-{dead_pid()}-files"
    leftover.mkdir()
    with pytest.raises(KeyError), atomic_files(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "weights").write_text("half")
        raise KeyError("midway")
    assert (tmp_path / "model/weights").read_text() == "old"
    assert names(tmp_path / "model") == ["weights"]
