"""Images become rows: the same bytes every time, whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa.data import packing
from hpa.data.images.decoding import read_image
from hpa.data.packed import PackedImages, read_index, read_quarantine
from hpa.data.packing import pack
from hpa.data.splits.duplicates import duplicate_groups
from hpa.errors import UserError
from hpa.labels import CHANNELS
from hpa.system.cluster import workers_of
from hpa.system.files import sha256
from support.paths import ROOT
from support.worlds import IDS, N_LABELLED, NEAR_COPIES, SIZE_PX, digests, draw_pixels, write_image

SRC = ROOT / "src"


def pack_small(raw_dir: Path, packed_dir: Path, *, n_jobs: int = 1, shard_rows: int = 16) -> None:
    """Pack as the fixture `packed_world` does."""
    pack(raw_dir, packed_dir, image_size=32, shard_rows=shard_rows, n_jobs=n_jobs)


def pack_in_another_process(preparation: str, raw_dir: Path, packed_dir: Path) -> int:
    code = (
        "from pathlib import Path\nfrom hpa.config import command_line\n"
        "from hpa.data import packing\n"
        f"{preparation}\n"
        f"command_line.run(lambda: packing.pack(Path({str(raw_dir)!r}), Path({str(packed_dir)!r}),"
        " image_size=32, shard_rows=16, n_jobs=1))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True
    ).returncode


def test_every_row_is_its_image(raw_world: Path, packed_world: Path) -> None:
    images, index = PackedImages(packed_world), read_index(packed_world)
    assert len(images) == len(index) == len(IDS)
    rows = images.read(np.arange(len(images)))
    for row, (folder, image_id) in enumerate(zip(index["folder"], index["Id"], strict=True)):
        assert np.array_equal(rows[row], read_image(raw_world / folder, image_id, 32))


def test_the_index_tells_what_the_pixels_are(packed_world: Path) -> None:
    index = read_index(packed_world)
    pixels = PackedImages(packed_world).read(np.arange(len(index)))
    assert list(index["Id"]) == IDS
    assert index["labelled"].dtype == bool
    assert index["labelled"].sum() == N_LABELLED
    for number, channel in enumerate(CHANNELS):
        plane = pixels[..., number] / 255
        assert np.allclose(index[f"{channel}_mean"], plane.mean(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_std"], plane.std(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_saturated"], (plane == 1).mean(axis=(1, 2)), atol=1e-6)


def test_near_copies_have_near_hashes_and_others_have_not(packed_world: Path) -> None:
    group = duplicate_groups(list(read_index(packed_world)["hash"]), 6)
    for copy, original in NEAR_COPIES.items():
        assert group[copy] == group[original]
    assert len(set(group)) == len(IDS) - len(NEAR_COPIES)


def test_the_manifest_lists_the_shards_and_their_digests(packed_world: Path) -> None:
    manifest = json.loads((packed_world / "manifest.json").read_text())
    assert (manifest["image_size"], manifest["n_images"]) == (32, 44)
    assert [shard["n_images"] for shard in manifest["shards"]] == [16, 16, 12]
    for shard in manifest["shards"]:
        assert sha256(packed_world / shard["file"]) == shard["sha256"]


def test_a_repeated_run_replaces_the_folder_by_the_same_bytes(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        pack_small(raw_world, tmp_path / "packed")
    assert digests(tmp_path / "packed") == digests(packed_world)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_two_processes_write_the_same_bytes_as_one_and_name_a_broken_file(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    pack_small(own_world, tmp_path / "packed", n_jobs=2)
    assert digests(tmp_path / "packed") == digests(packed_world)

    path = own_world / "train" / "cell-033_blue.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        UserError, match=r"train/cell-033_blue\.png \(Id cell-033\): a PNG cut off after 100 bytes"
    ):
        pack_small(own_world, tmp_path / "packed", n_jobs=2)
    assert digests(tmp_path / "packed") == digests(packed_world)


@pytest.mark.parametrize("shard_rows", [1, 7, 44, 1000])
def test_the_size_of_shards_changes_no_row(
    raw_world: Path, packed_world: Path, tmp_path: Path, shard_rows: int
) -> None:
    pack_small(raw_world, tmp_path / "packed", shard_rows=shard_rows)
    rows = np.arange(len(IDS))
    expected = PackedImages(packed_world).read(rows)
    assert np.array_equal(PackedImages(tmp_path / "packed").read(rows), expected)
    assert read_index(tmp_path / "packed").equals(read_index(packed_world))
    names = sorted(path.name for path in (tmp_path / "packed").glob("*.npy"))
    assert len(names) == -(-len(IDS) // shard_rows)
    assert (names == ["images.npy"]) == (shard_rows >= len(IDS))


def test_blank_channels_are_flagged_not_refused(own_world: Path, tmp_path: Path) -> None:
    pixels = np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8)
    write_image(own_world / "train", IDS[0], pixels)
    pixels[..., 1] = draw_pixels(1)[..., 1]
    write_image(own_world / "train", IDS[1], pixels)
    write_image(own_world / "train", IDS[2], np.full_like(pixels, 255))
    pack_small(own_world, tmp_path / "packed")
    index = read_index(tmp_path / "packed")
    assert list(index["blank"][:4]) == [
        "red green blue yellow", "red blue yellow", "red green blue yellow", "",
    ]  # fmt: skip
    assert index["red_saturated"][2] == 1.0


def test_an_unfit_image_leaves_the_older_folder_untouched(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    write_image(own_world / "test", IDS[-1], np.zeros((32, 64, 4), np.uint8))
    with pytest.raises(UserError, match=IDS[-1]):
        pack_small(own_world, packed)
    assert digests(packed) == digests(packed_world)


KILL_AT_IMAGE_40 = (
    "import os, signal\nread, n = packing.read_image, iter(range(99))\n"
    "def read_or_die(*arguments):\n"
    "    if next(n) == 40: os.kill(os.getpid(), signal.SIGKILL)\n"
    "    return read(*arguments)\n"
    "packing.read_image = read_or_die"
)
"""Two shards of 16 images are done, and the third is half written."""


@pytest.fixture
def images_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Ids of the images that this process decodes, as it goes."""
    found: list[str] = []

    def read_and_note(folder: Path, image_id: str, *rest: Any) -> np.ndarray:
        found.append(image_id)
        return read_image(folder, image_id, *rest)

    monkeypatch.setattr(packing, "read_image", read_and_note)
    return found


def kill_midway(raw_dir: Path, packed_dir: Path) -> None:
    assert pack_in_another_process(KILL_AT_IMAGE_40, raw_dir, packed_dir) == -signal.SIGKILL
    assert not packed_dir.exists()


def test_a_repeat_after_sigkill_decodes_only_what_is_missing_and_equals_a_clean_run(
    raw_world: Path, packed_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    kill_midway(raw_world, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == [".shards-packed"]
    pack_small(raw_world, tmp_path / "packed")
    assert images_read == IDS[32:]
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert digests(tmp_path / "packed") == digests(packed_world)


@pytest.mark.parametrize("n_bytes", [0, 5000, None])
def test_a_waiting_shard_that_is_cut_flipped_or_gone_is_packed_again(
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


def test_shards_of_other_files_or_rules_are_not_taken_over(
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


def test_a_kill_while_the_folder_is_put_together_costs_no_shard(
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed.*")
def test_two_workers_of_a_dask_cluster_write_the_same_bytes(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        workers_of(cluster.scheduler_address),
    ):
        pack_small(raw_world, tmp_path / "packed", n_jobs=-1)
    assert digests(tmp_path / "packed") == digests(packed_world)


def test_a_scheduler_that_does_not_answer_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpa.system.cluster.TIMEOUT_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with (
            pytest.raises(UserError, match=r"cluster at .* cannot be used(.|\n)*dask worker"),
            workers_of(address),
        ):
            pass


def break_two_images(raw_dir: Path) -> None:
    path = raw_dir / "train" / "cell-033_blue.png"
    path.write_bytes(path.read_bytes()[:100])
    write_image(raw_dir / "test", IDS[-1], np.zeros((32, 64, 4), np.uint8))


def test_unreadable_images_are_left_out_and_listed_with_reason(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    break_two_images(own_world)
    for shard_rows in (16, 1):  # with one row a shard, two shards are empty
        pack(
            own_world, tmp_path / "packed", image_size=32, shard_rows=shard_rows,
            max_unreadable_fraction=2 / 44, n_jobs=1,
        )  # fmt: skip
        kept = [row for row in range(44) if row not in (33, 43)]
        images = PackedImages(tmp_path / "packed")
        expected = PackedImages(packed_world).read(np.array(kept))
        assert np.array_equal(images.read(np.arange(42)), expected)
        index = read_index(packed_world).loc[kept].reset_index(drop=True)
        pd.testing.assert_frame_equal(read_index(tmp_path / "packed"), index)
        quarantine = read_quarantine(tmp_path / "packed")
        assert quarantine.to_numpy().tolist() == [
            ["cell-033", "train/cell-033_blue.png", "a PNG cut off after 100 bytes"],
            [IDS[-1], f"test/{IDS[-1]}_red.png",
             "unfit sizes: red 64×32, green 64×32, blue 64×32, yellow 64×32"],
        ]  # fmt: skip


def test_more_unreadable_images_than_allowed_end_the_run_and_the_first_are_named(
    own_world: Path, tmp_path: Path, images_read: list[str]
) -> None:
    break_two_images(own_world)
    with pytest.raises(UserError, match=r"allows 0\.03 of 44(.|\n)*cell-033_blue(.|\n)*64×32"):
        pack(
            own_world, tmp_path / "packed", image_size=32, shard_rows=16,
            max_unreadable_fraction=0.03, n_jobs=1,
        )  # fmt: skip
    assert not (tmp_path / "packed").exists()
    images_read.clear()  # mended, only the shard of the mended files is packed
    for number in (33, 43):
        write_image(own_world / ("train" if number < 40 else "test"), IDS[number], draw_pixels(1))
    pack_small(own_world, tmp_path / "packed")
    assert images_read == IDS[32:]


def png_bytes(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[: len(content) // 2], r"a PNG cut off after \d+ bytes"),
        (lambda content: content[:50] + b"?" + content[51:], "a damaged IDAT chunk at byte 33"),
        (lambda _: b"", "an empty file"),
        (lambda _: b"rubbish", "7 bytes that are no PNG"),
        (lambda _: png_bytes(np.zeros((64, 64), np.uint16)), "a 16-bit grey PNG"),
        (lambda _: png_bytes(np.zeros((64, 64, 3), np.uint8)), "a 8-bit RGB PNG"),
        (
            lambda _: png_bytes(np.zeros((48, 48), np.uint8)),
            "unfit sizes: red 64×64, .* blue 48×48",
        ),
    ],
)
def test_each_fault_of_a_file_is_named_with_id_path_and_reason(
    own_world: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    path = own_world / "train" / "cell-020_blue.png"
    path.write_bytes(spoil(path.read_bytes()))
    named = rf"train/cell-020_\w+\.png \(Id cell-020\): {reason}"
    with pytest.raises(UserError, match=named):
        pack_small(own_world, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_clean_run_has_an_empty_quarantine(packed_world: Path) -> None:
    assert (packed_world / "quarantine.csv").read_text() == "Id,path,reason\n"


@pytest.mark.parametrize("odd_size", ["pad", "crop"])
def test_an_image_that_is_no_square_is_padded_or_cropped_on_demand(
    own_world: Path, tmp_path: Path, odd_size: str
) -> None:
    wide = np.zeros((32, 64, 4), np.uint8)
    wide[:, 16:48] = draw_pixels(1, 32)
    write_image(own_world / "train", IDS[0], wide)
    pack(own_world, tmp_path / "packed", image_size=32, shard_rows=16, odd_size=odd_size, n_jobs=1)
    row = PackedImages(tmp_path / "packed").read(np.array([0]))[0]
    if odd_size == "crop":
        assert np.array_equal(row, draw_pixels(1, 32))
    else:
        assert not row[:8].any()
        assert not row[24:].any()
        assert row[8:24, 8:24].any()


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


def test_a_disk_that_fills_midway_is_a_clear_error_and_leaves_the_older_folder(
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
    pack_small(raw_world, small_disk / "packed")  # with room, what was finished is taken over
    assert len(images_read) < 2 * len(IDS)
    assert digests(small_disk) == {
        f"packed/{name}": content for name, content in digests(packed_world).items()
    }


def test_a_read_only_folder_is_a_clear_error(raw_world: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,size=1m", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"could not be written(.|\n)*Read-only"):
        pack_small(raw_world, small_disk / "packed")


def test_the_real_sample_is_packed(real_data: Path, tmp_path: Path) -> None:
    index = pack(real_data / "sample48", tmp_path / "p", image_size=64, shard_rows=20, n_jobs=1)
    assert len(index) == 48
    assert (index["blank"] == "").all()
    assert index["green_mean"].between(0.001, 0.5).all()
    rounded = read_index(tmp_path / "p")
    pd.testing.assert_frame_equal(rounded, index, atol=1e-6, check_dtype=False)
