"""OME-Zarr as untrusted input: what is not an image is refused, in words, within bounds."""

import gzip
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from hpa.data.images.store_files import ROOT_DOCUMENTS
from support.zarr_images import edit_json, write_ome_zarr, zipped


def write(folder: Path, **options: Any) -> tuple[Path, np.ndarray]:
    image = np.random.default_rng(3).integers(100, 250, (2, 64, 64)).astype(np.uint16)
    return write_ome_zarr(folder, image, **{"chunks": (1, 16, 16), **options}), image


def read(source: Path | bytes) -> np.ndarray:
    with open_image(source) as opened:
        return opened.read(0)


def change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(values)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (change(shape=[2, 1 << 40, 64]), r"1099511627776 pixels \(at most"),
        (change(shape=[1 << 40, 64, 64]), "1099511627776 channels"),
        (change(shape=[2, -64, 64]), "not an image"),
        (change(shape=[2, 64.5, 64]), "not an image"),
        (change(shape=["2", 64, 64]), "not an image"),
        (change(shape=[64, 64]), "cut or damaged"),
        (change(chunks=[2, 1 << 20, 1 << 20]), "in chunks of 4,398,047 MB"),
        (change(chunks=[1, 0, 16]), "not an image"),
        (change(dtype="|O"), r"values of type \|O, not numbers"),
        (change(dtype="<c8"), "not numbers"),
        (change(dtype=[["a", "<u2"]]), "not numbers"),
        (change(dtype="|S40"), "not numbers"),
        (change(compressor={"id": "pickle"}), "compressed by 'pickle', which is not supported"),
        (change(compressor={"id": "jpegxl"}), "compressed by 'jpegxl'"),
        (change(filters=[{"id": "pickle"}]), "compressed by 'pickle'"),
        (change(compressor="zstd"), "cut or damaged"),
        (change(fill_value="black"), "cut or damaged"),
    ],
)
def test_metadata_of_an_array_that_is_not_an_image_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    folder, _ = write(tmp_path / "a")
    edit_json(folder / "0/.zarray", edit)
    with pytest.raises(InvalidImageError, match=reason):
        read(folder)


def test_a_plane_of_very_many_chunks_is_refused(tmp_path: Path) -> None:
    folder, _ = write(tmp_path / "a")
    edit_json(folder / "0/.zarray", change(shape=[2, 4096, 4096], chunks=[1, 1, 1]))
    with pytest.raises(InvalidImageError, match="in chunks of 1×1 pixels"):
        read(folder)


def test_a_shard_of_very_many_chunks_is_refused(tmp_path: Path) -> None:
    folder, _ = write(tmp_path / "a", version=3, shards=(1, 64, 64))

    def enlarge(document: dict[str, Any]) -> None:
        document["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 20, 1 << 10, 1 << 10]

    edit_json(folder / "0/zarr.json", enlarge)
    with pytest.raises(InvalidImageError, match="in shards of too many chunks"):
        read(folder)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (change(multiscales=[]), "cut or damaged"),
        (change(multiscales="x"), "cut or damaged"),
        (change(multiscales=[{"axes": [], "datasets": [{"path": "0"}]}]), "do not name height"),
        (
            change(multiscales=[{"axes": ["c", "z", "t"], "datasets": [{"path": "0"}]}]),
            "do not name height and width of its 3 dimensions",
        ),
        (
            change(multiscales=[{"axes": ["x", "y", "x"], "datasets": [{"path": "0"}]}]),
            "do not name height",
        ),
        (
            change(multiscales=[{"axes": ["lambda", "y", "x"], "datasets": [{"path": "0"}]}]),
            "an axis that is not channel, depth or time",
        ),
        (
            change(multiscales=[{"axes": ["c", "y", "x"], "datasets": [{"path": "../b/0"}]}]),
            "whose pixels are elsewhere",
        ),
        (
            change(multiscales=[{"axes": ["c", "y", "x"], "datasets": [{"path": "/etc"}]}]),
            "whose pixels are elsewhere",
        ),
        (
            change(multiscales=[{"axes": ["c", "y", "x"], "datasets": [{"path": "https://a/b"}]}]),
            "whose pixels are elsewhere",
        ),
        (
            change(multiscales=[{"axes": ["c", "y", "x"], "datasets": [{"path": "7"}]}]),
            "without its part '7', the full resolution",
        ),
        (change(**{"image-label": {}}), "a segmentation"),
        (change(labels=["nuclei"]), "a segmentation"),
    ],
)
def test_metadata_that_describe_no_image_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    write(tmp_path / "b")
    folder, _ = write(tmp_path / "a")
    edit_json(folder / ".zattrs", edit)
    with pytest.raises(InvalidImageError, match=reason):
        read(folder)


@pytest.mark.parametrize("version", [2, 3])
def test_an_array_without_metadata_of_axes_is_refused_with_the_way_out(
    tmp_path: Path, version: int
) -> None:
    folder, _ = write(tmp_path / "a", version=version)
    with pytest.raises(InvalidImageError, match=r"a Zarr array without .*give the folder above"):
        open_image(folder / "0")
    zarr.open_group(str(tmp_path / "b"), mode="w", zarr_format=version)
    with pytest.raises(InvalidImageError, match="a Zarr group without an image"):
        open_image(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(InvalidImageError, match="a folder that is not OME-Zarr"):
        open_image(tmp_path / "c")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 200_000, '{"a": ' * 200_000, "\xff\xfe", ""])
def test_damaged_documents_are_refused(tmp_path: Path, text: str) -> None:
    for name in (".zattrs", "0/.zarray"):
        folder, _ = write(tmp_path / name.replace("/", "_"))
        (folder / name).write_text(text, encoding="latin-1")
        with pytest.raises(InvalidImageError, match=r"metadata .* are cut or damaged"):
            read(folder)


@pytest.mark.parametrize("version", [2, 3])
def test_a_copy_without_pixels_is_refused_and_a_copy_of_a_part_is_flagged(
    tmp_path: Path, version: int
) -> None:
    folder, image = write(tmp_path / "a", version=version)
    with open_image(folder) as opened:
        opened.read(0)
        assert opened.flags == ()
    chunks = [path for path in (folder / "0").rglob("*") if is_chunk(path)]
    next(path for path in chunks if path.name.endswith("1")).unlink()
    with open_image(folder) as opened:
        found = [opened.read(channel) for channel in range(2)]
        assert any("is absent from the OME-Zarr and read as black" in flag for flag in opened.flags)
    assert sum((plane != image[c]).sum() for c, plane in enumerate(found)) == 16 * 16
    for path in chunks:
        path.unlink(missing_ok=True)
    with pytest.raises(InvalidImageError, match="without pixels: copy it again, whole"):
        read(folder)


def is_chunk(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".z", "zarr"))


def test_chunks_left_out_where_the_picture_is_black_are_no_reason_for_a_flag(
    tmp_path: Path,
) -> None:
    image = np.zeros((1, 64, 64), np.uint16)
    image[0, 20:40, 20:40] = 500
    folder = write_ome_zarr(tmp_path / "a", image, chunks=(1, 16, 16))
    assert len(list((folder / "0").rglob("*"))) < 16
    with open_image(folder) as opened:
        np.testing.assert_array_equal(opened.read(0), image[0])
        assert opened.flags == ()


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder, image = write(tmp_path / "a", chunks=(1, 64, 64), compressors=None)
    (tmp_path / "secret").write_bytes(image[0].tobytes())
    chunk = folder / "0/0.0.0"
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidImageError, match="is a link"):
        read(folder)
    (folder / "0").rename(tmp_path / "elsewhere")
    (folder / "0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidImageError, match="is a link"):
        read(folder)


def test_a_link_to_the_folder_itself_is_followed(tmp_path: Path) -> None:
    folder, image = write(tmp_path / "a")
    (tmp_path / "b").symlink_to(folder)
    np.testing.assert_array_equal(read(tmp_path / "b"), image[0])


def test_a_pipe_in_place_of_a_chunk_is_refused_without_waiting(tmp_path: Path) -> None:
    folder, _ = write(tmp_path / "a", chunks=(1, 64, 64))
    chunk = folder / "0/0.0.0"
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(InvalidImageError, match="is not a file"):
        read(folder)


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_decompresses_to_more_than_it_has_is_refused_in_little_memory(
    tmp_path: Path, version: int
) -> None:
    codec: Any = {"id": "gzip", "level": 1} if version == 2 else zarr.codecs.GzipCodec()
    folder, _ = write(tmp_path / "a", version=version, chunks=(1, 64, 64), compressors=codec)
    bomb = gzip.compress(bytes(50_000_000), 1)
    for chunk in (path for path in (folder / "0").rglob("*") if is_chunk(path)):
        chunk.write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(InvalidImageError, match="cut or damaged"):
        read(folder)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_an_entry_of_a_zip_file_that_is_too_large_is_refused_in_little_memory(
    tmp_path: Path,
) -> None:
    folder, _ = write(tmp_path / "a")
    (folder / ".zattrs").write_bytes(b" " * 100_000_000)
    content = zipped(folder, compression=zipfile.ZIP_DEFLATED).read_bytes()
    assert len(content) < 1_000_000
    tracemalloc.start()
    with pytest.raises(InvalidImageError, match=r"zattrs has 100,000,000 bytes"):
        read(content)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_zip_files_that_hold_no_one_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/readme.txt").write_text("hello")
    with pytest.raises(InvalidImageError, match="a zip file, not OME-Zarr"):
        read(zipped(tmp_path / "x"))
    (tmp_path / "y").mkdir()
    write(tmp_path / "y/a")
    write(tmp_path / "y/b")
    with pytest.raises(InvalidImageError, match="a zip file of 2 OME-Zarr folders"):
        read(zipped(tmp_path / "y"))
    content = zipped(tmp_path / "y/a").read_bytes()
    with pytest.raises(InvalidImageError, match="a zip file, cut or damaged"):
        read(content[:-100])


@pytest.mark.parametrize("n_entries", [4_000_000, 0xFFFF])
def test_a_zip_file_that_announces_millions_of_entries_is_refused_before_they_are_listed(
    tmp_path: Path, n_entries: int
) -> None:
    folder, _ = write(tmp_path / "a")
    content = bytearray(zipped(folder).read_bytes())
    end = content.rfind(b"PK\x05\x06")
    content[end + 12 : end + 16] = (46 * n_entries % (1 << 32)).to_bytes(4, "little")
    with pytest.raises(InvalidImageError, match="a zip file"):
        read(bytes(content))


ODD: list[Any] = [
    None, True, 0, -1, 3, 1 << 31, 1 << 70, 0.5, float("nan"), "", "x", "../..", "gzip", "bool",
    "transpose", "sharding_indexed", "vlen-utf8", ">f8", "|O", "string", [], {}, [1], [[1]],
    {"name": "gzip"}, {"id": "blosc"}, "F", "/", "time", "z",
]  # fmt: skip


def places(found: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or dictionary in a document with each of its keys."""
    for key in found if isinstance(found, dict) else range(len(found)):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from places(found[key])


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"version": 3}, {"version": 3, "shards": (1, 32, 32)}])
def test_odd_metadata_are_read_or_refused_in_words(tmp_path: Path, options: Any) -> None:
    folder, _ = write(tmp_path / "a", labels=["a", "b"], pixel_size=0.2, n_levels=1, **options)
    named = [path for path in folder.rglob("*") if path.name in ROOT_DOCUMENTS]
    documents = [path for path in named if path.read_text() != "{}"]
    random = np.random.default_rng(7)
    refusals = []
    for _ in range(150):
        path = documents[random.integers(len(documents))]
        whole = path.read_text()
        document = json.loads(whole)
        found = list(places(document))
        place, key = found[random.integers(len(found))]
        place[key] = ODD[random.integers(len(ODD))]
        path.write_text(json.dumps(document))
        try:
            read(folder)
        except InvalidImageError as error:
            refusals.append(str(error))
        path.write_text(whole)
    assert len(refusals) > 30
    assert not [each for each in refusals if "object is not" in each or "\n" in each]


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, version: int) -> None:
    folder, _ = write(tmp_path / "a", version=version)
    whole = zipped(folder).read_bytes()
    random = np.random.default_rng(7)
    n_refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 30)):
            content[place] ^= 1 << random.integers(8)
        try:
            read(bytes(content[: random.integers(1, len(whole) * 4)]))
        except InvalidImageError:
            n_refused += 1
    assert n_refused > 100


def test_a_stack_of_absent_slices_is_refused_before_all_are_read(tmp_path: Path) -> None:
    image = np.random.default_rng(3).integers(100, 250, (3, 64, 64)).astype(np.uint16)
    folder = write_ome_zarr(tmp_path / "a", image, "zyx", chunks=(1, 64, 64))
    edit_json(folder / "0/.zarray", change(shape=[1 << 40, 64, 64]))
    with open_image(folder) as opened:
        assert opened.description.n_slices == 1 << 40
    with pytest.raises(InvalidImageError, match="lacks more than 200 slices"):
        read_slices(folder, 1000)


def read_slices(folder: Path, n_slices: int) -> None:
    with open_image(folder) as opened:
        for z in range(n_slices):
            opened.read(0, z)
