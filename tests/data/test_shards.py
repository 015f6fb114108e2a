"""Interrupted packing: finished shards are reused, others packed again; full disks."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpa.data import packing, shards
from hpa.data.images.decoding import read_tiles
from hpa.data.packed.packed_images import PackedImages
from hpa.data.packing import pack
from hpa.errors import UserError
from support.paths import ROOT
from support.worlds import IDS, digests, draw_pixels, pack_small, write_image


def pack_in_another_process(preparation: str, raw_dir: Path, packed_dir: Path) -> int:
    code = (
        "from pathlib import Path\nfrom hpa.config import command_line\n"
        "from hpa.data import packing, shards\n"
        f"{preparation}\n"
        f"command_line.run(lambda: packing.pack(Path({str(raw_dir)!r}), Path({str(packed_dir)!r}),"
        " image_size=32, shard_rows=16, n_jobs=1))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True
    ).returncode


KILL_AT_IMAGE_40 = (
    "import os, signal\nread, n = shards.read_tiles, iter(range(99))\n"
    "def read_or_die(*arguments):\n"
    "    if next(n) == 40: os.kill(os.getpid(), signal.SIGKILL)\n"
    "    return read(*arguments)\n"
    "shards.read_tiles = read_or_die"
)
"""By then two shards of 16 images are finished, and the third is half written."""


@pytest.fixture
def images_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Ids of the images that this process decodes, in order."""
    ids: list[str] = []

    def read_and_note(folder: Path, image_id: str, *rest: Any) -> list[np.ndarray]:
        ids.append(image_id)
        return read_tiles(folder, image_id, *rest)

    monkeypatch.setattr(shards, "read_tiles", read_and_note)
    return ids


def kill_midway(raw_dir: Path, packed_dir: Path) -> None:
    assert pack_in_another_process(KILL_AT_IMAGE_40, raw_dir, packed_dir) == -signal.SIGKILL
    assert not packed_dir.exists()


def test_a_rerun_after_sigkill_decodes_only_what_is_missing_and_equals_a_clean_run(
    raw_world: Path, packed_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    kill_midway(raw_world, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == [".shards-packed"]
    pack_small(raw_world, tmp_path / "packed")
    assert images_read == IDS[32:]
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert digests(tmp_path / "packed") == digests(packed_world)


@pytest.mark.parametrize("n_bytes", [0, 5000, None])
def test_a_finished_shard_that_was_damaged_is_packed_again(
    raw_world: Path, packed_world: Path, tmp_path: Path, images_read: list[str], n_bytes: int | None
) -> None:
    kill_midway(raw_world, tmp_path / "packed")
    shard = sorted((tmp_path / ".shards-packed").glob("[!.]*.npy"))[0]
    content = bytearray(shard.read_bytes())
    if n_bytes is None:
        content[-1] ^= 1
    shard.write_bytes(content[:n_bytes])
    pack_small(raw_world, tmp_path / "packed")
    assert len(images_read) == 12 + 16
    assert digests(tmp_path / "packed") == digests(packed_world)


def test_shards_of_other_files_or_rules_are_not_reused(
    own_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    kill_midway(own_world, tmp_path / "packed")
    write_image(own_world / "train", IDS[3], draw_pixels(99))
    pack_small(own_world, tmp_path / "packed")
    assert images_read == IDS[:16] + IDS[32:]
    assert digests(tmp_path / "packed") == digests_of_clean_run(own_world, tmp_path)
    kill_midway(own_world, tmp_path / "other")
    images_read.clear()
    pack(own_world, tmp_path / "other", image_size=64, shard_rows=16, n_jobs=1)
    assert images_read == IDS
    assert PackedImages(tmp_path / "other").row_shape == (64, 64, 4)


def digests_of_clean_run(raw_dir: Path, folder: Path) -> dict[str, bytes]:
    pack_small(raw_dir, folder / "clean")
    return digests(folder / "clean")


def test_a_kill_during_assembly_loses_no_shard(
    raw_world: Path, packed_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    die = (
        "import os, signal\n"
        "packing.write_json = lambda path, content: (\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if path.name == 'manifest.json'\n"
        "    else write(path, content))\n"
        "from hpa.system.files import write_json as write"
    )
    killed = pack_in_another_process(die, raw_world, tmp_path / "packed")
    assert killed == -signal.SIGKILL
    pack_small(raw_world, tmp_path / "packed")
    assert images_read == []
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert digests(tmp_path / "packed") == digests(packed_world)


def test_after_too_many_unreadable_images_only_their_shard_is_packed_again(
    own_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    (own_world / "train" / f"{IDS[33]}_blue.png").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="images cannot be read"):
        pack_small(own_world, tmp_path / "packed")
    images_read.clear()
    write_image(own_world / "train", IDS[33], draw_pixels(33))
    pack_small(own_world, tmp_path / "packed")
    assert images_read == IDS[32:]


def test_a_file_size_limit_is_a_clear_error_and_no_crash(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    assert pack_in_another_process(limit, raw_world, packed) == 2
    assert digests(packed) == digests(packed_world)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_a_full_disk_is_refused_before_anything_is_written(
    raw_world: Path, small_disk: Path
) -> None:
    with pytest.raises(UserError, match="not enough free disk for the packed images"):
        pack_small(raw_world, small_disk / "packed")
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_is_a_clear_error_and_leaves_the_older_folder(
    raw_world: Path,
    packed_world: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    images_read: list[str],
) -> None:
    (small_disk / "packed").mkdir()
    (small_disk / "packed" / "old.txt").write_text("old")
    monkeypatch.setattr(packing, "require_free_space", lambda *_: None)
    with pytest.raises(UserError, match="the disk is full"):
        pack_small(raw_world, small_disk / "packed")
    assert digests(small_disk / "packed") == {"old.txt": b"old"}

    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    pack_small(raw_world, small_disk / "packed")  # with more space, finished shards are reused
    assert len(images_read) < 2 * len(IDS)
    assert digests(small_disk) == {
        f"packed/{name}": content for name, content in digests(packed_world).items()
    }


def test_a_read_only_folder_is_a_clear_error(raw_world: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,size=1m", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"could not be written(.|\n)*Read-only"):
        pack_small(raw_world, small_disk / "packed")
