import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hpa.data.images.depth import DepthRule
from hpa.data.images.opened import Description, InvalidImageError, OpenedImage
from hpa.data.images.reading import ReadingRules, read_planes
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels, write_image

RULES = ReadingRules(CHANNELS, max_size_px=256, known_types=("uint8",))
PIXELS = draw_pixels(1)
PLANES = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
NAMES = CHANNELS.names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "plate", "a", PIXELS)
    return tmp_path / "plate"


def files(folder: Path, image_id: str) -> dict[str, Path]:
    return {name: folder / f"{image_id}_{name}.png" for name in NAMES}


def one_file(path: Path, planes: np.ndarray = PLANES, **options: Any) -> dict[str, Path]:
    """Write a TIFF of several planes, and name it for every channel."""
    tifffile.imwrite(path, planes, **{"photometric": "minisblack", **options})
    return dict.fromkeys(NAMES, path)


def ome(path: Path, names: list[str], planes: np.ndarray = PLANES, **more: Any) -> dict[str, Path]:
    metadata = {"axes": "CYX", "Channel": {"Name": names}, **more}
    return one_file(path, planes, ome=True, metadata=metadata)


def bomb(side: int) -> bytes:
    """A PNG of side × side black pixels in few bytes."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


def test_paths_bytes_and_numbers_of_an_image_are_read_alike(folder: Path) -> None:
    paths = files(folder, "a")
    for source in (
        paths,
        {name: path.read_bytes() for name, path in paths.items()},
        {name: PIXELS[..., number].tolist() for number, name in enumerate(NAMES)},
    ):
        read = read_planes(source, RULES)
        np.testing.assert_array_equal(np.stack(read.planes), PLANES)
        assert (read.pixel_size_um, read.flags, read.absent) == (None, (), ())


def test_an_absent_channel_is_black(folder: Path) -> None:
    read = read_planes({"green": folder / "a_green.png", "red": None}, RULES)
    assert [plane.any() for plane in read.planes] == [False, True, False, False]
    assert read.absent == ("red", "blue", "yellow")


@pytest.mark.parametrize(
    ("green", "said"),
    [
        (None, "no green channel"),
        (b"", "green: an empty file"),
        (b"hello", "green: neither a picture .* nor a microscope's file"),
        (bomb(30_000), r"green: 30000×30000 pixels \(at most 256×256\)"),
        (bomb(4000), r"green: 4000×4000 pixels \(at most 256×256\)"),
        (bomb(64), "green: .*(cut or damaged|do not decode)"),
        ([[float("nan")] * 8] * 8, "the value nan"),
        ([[0.5] * 8] * 8, "the value 0.5"),
        ([[256] * 8] * 8, "the value 256"),
        ([[1, 2], [3]], "rows of unequal length"),
        ([[[1]]], r"shape \(1, 1, 1\)"),
        ([["a"]], "not of grey levels"),
        ([[0] * 300], "300×1 pixels"),
        (Path("/nowhere/a_green.png"), "green: No such file"),
    ],
)
def test_an_invalid_channel_is_refused_with_its_reason(green: object, said: str) -> None:
    with pytest.raises(InvalidImageError, match=said):
        read_planes({"green": green}, RULES)


def test_channels_of_unequal_size_and_unknown_channels_are_refused() -> None:
    with pytest.raises(InvalidImageError, match="red 4×4, green 8×8"):
        read_planes({"green": [[0] * 8] * 8, "red": [[0] * 4] * 4}, RULES)
    with pytest.raises(InvalidImageError, match=r"unknown channels 'DAPI': the model has red, "):
        read_planes({"green": [[0] * 8] * 8, "DAPI": [[0] * 8] * 8}, RULES)


def test_a_file_of_several_channels_is_opened_once_and_read_by_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpa.data.images import reading

    opened = []
    real = reading.open_image
    monkeypatch.setattr(
        reading, "open_image", lambda source, **more: opened.append(source) or real(source, **more)
    )
    order = [3, 1, 0, 2]
    given = ome(tmp_path / "x.ome.tif", [NAMES[place].upper() for place in order], PLANES[order])
    read = read_planes(given, RULES)
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    assert read.flags == ()
    content = (tmp_path / "x.ome.tif").read_bytes()
    read = read_planes(dict.fromkeys(NAMES, content), RULES)
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    assert len(opened) == 2


def test_channels_without_names_are_taken_in_order_and_that_is_said(tmp_path: Path) -> None:
    read = read_planes(one_file(tmp_path / "x.tif"), RULES)
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    said = "the channels in the file have no names: taken in the order red, green, blue, yellow"
    assert read.flags == (said,)
    stated = replace(RULES, found_as="red=4; green=3; blue=2; yellow=1")
    read = read_planes(dict.fromkeys(NAMES, tmp_path / "x.tif"), stated)
    np.testing.assert_array_equal(np.stack(read.planes), PLANES[::-1])
    assert read.flags == ()


def test_another_number_of_channels_without_names_is_refused_with_the_line_to_set(
    tmp_path: Path,
) -> None:
    given = one_file(tmp_path / "x.tif", np.concatenate([PLANES, PLANES[:1]]))
    with pytest.raises(
        InvalidImageError,
        match=r"x\.tif: 5 channels \(without names\), none named red or green or blue or yellow; "
        r"say where .* found_as: red=…; green=…; blue=…; yellow=…",
    ):
        read_planes(given, RULES)
    read = read_planes(given, replace(RULES, found_as="red=5; green=2; blue=3; yellow=4"))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)


def test_a_channel_that_a_file_lacks_is_black_with_a_flag_and_never_the_protein(
    tmp_path: Path,
) -> None:
    given = ome(tmp_path / "x.ome.tif", ["red", "green", "DIC", "yellow"])
    read = read_planes(given, RULES)
    assert [plane.any() for plane in read.planes] == [True, True, False, True]
    assert read.absent == ("blue",)
    assert read.flags == ("no channel named blue in the file, which holds red, green, DIC, yellow",)
    assert read_planes(given, replace(RULES, black=("blue",))).flags == ()  # as in training
    given = ome(tmp_path / "y.ome.tif", ["red", "GFP", "DIC", "yellow"])
    with pytest.raises(
        InvalidImageError, match=r"no green channel, .*: no channel named green .* holds red, GFP"
    ):
        read_planes(given, RULES)


def test_a_file_named_for_one_channel_that_holds_several_needs_a_name_or_a_number(
    tmp_path: Path,
) -> None:
    path = one_file(tmp_path / "x_green.tif")["green"]
    with pytest.raises(InvalidImageError, match=r"green: 4 channels without names.*green=1"):
        read_planes({"green": path}, RULES)
    read = read_planes({"green": path}, replace(RULES, found_as="green=3"))
    np.testing.assert_array_equal(read.planes[1], PLANES[2])
    path = ome(tmp_path / "y.ome.tif", ["a", "Green", "c", "d"])["green"]
    np.testing.assert_array_equal(read_planes({"green": path}, RULES).planes[1], PLANES[1])


def test_a_file_of_one_channel_is_not_all_channels(tmp_path: Path) -> None:
    given = one_file(tmp_path / "x.tif", PLANES[0])
    with pytest.raises(
        InvalidImageError,
        match=r"x\.tif: one channel, not the 4 of red, green, blue, yellow: give a file of each",
    ):
        read_planes(given, RULES)
    alone = Channels((Channel("GFP", "protein", "green"),))
    read = read_planes({"GFP": tmp_path / "x.tif"}, ReadingRules(alone))
    np.testing.assert_array_equal(read.planes[0], PLANES[0])


LABELS = [f"plate 7_{name}.tif\nGain: {number}" for number, name in enumerate(NAMES)]


def fiji_stack(path: Path, labels: list[str], axes: str = "ZYX") -> dict[str, Path]:
    """Write planes as Fiji's "Images to Stack" does."""
    return one_file(path, imagej=True, metadata={"axes": axes, "Labels": labels})


@pytest.mark.parametrize(
    ("labels", "found_as"),
    [
        (LABELS, None),
        ([f"C{n}-plate 7.tif" for n in (1, 2, 3, 4)], "red=C1; green=C2; blue=C3; yellow=C4"),
        (LABELS, "red=1; green=2; blue=3; yellow=4"),
        (["plate x", "plate green", "plate blue", "plate y"], "red=1; yellow=4"),
    ],
)
def test_slices_are_channels_if_their_labels_or_found_as_say_so(
    tmp_path: Path, labels: list[str], found_as: str | None
) -> None:
    given = fiji_stack(tmp_path / "x.tif", labels)
    read = read_planes(given, replace(RULES, found_as=found_as))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    assert read.flags == ()


def test_slices_without_labels_are_channels_by_their_numbers_and_that_is_said(
    tmp_path: Path,
) -> None:
    given = fiji_stack(tmp_path / "x.tif", [])
    read = read_planes(given, replace(RULES, found_as="red=4; green=3; blue=2; yellow=1"))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES[::-1])
    assert read.flags == ("its 4 slices are taken for channels",)


def test_numbers_are_not_those_of_slices_where_stacks_have_a_rule_or_many(tmp_path: Path) -> None:
    numbered = replace(RULES, found_as="red=4; green=3; blue=2; yellow=1")
    many = one_file(
        tmp_path / "y.tif", np.repeat(PLANES, 3, 0), imagej=True, metadata={"axes": "ZYX"}
    )
    for given, z in ((fiji_stack(tmp_path / "x.tif", []), "max"), (many, "refuse")):
        with pytest.raises(InvalidImageError, match=r"one channel in \d+ slices, not the 4"):
            read_planes(given, replace(numbered, z=z))
    read = read_planes(fiji_stack(tmp_path / "z.tif", LABELS), replace(RULES, z="max"))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
@pytest.mark.parametrize("z", ["refuse", "max", 1])
@pytest.mark.parametrize("labels", [[], ["DAPI", "GFP", "Cy3", "Cy5"], ["a", "a", "a", "a"]])
def test_slices_are_never_guessed_to_be_channels(
    tmp_path: Path, axes: str, z: str | int, labels: list[str]
) -> None:
    with pytest.raises(InvalidImageError, match=r"x\.tif: .* 4 .* Stack to Hyperstack"):
        read_planes(fiji_stack(tmp_path / "x.tif", labels, axes), replace(RULES, z=z))


def test_a_stack_of_one_channel_stays_one_whatever_its_labels(tmp_path: Path) -> None:
    path = fiji_stack(tmp_path / "x_green.tif", LABELS)["green"]
    read = read_planes({"green": path}, replace(RULES, z="max"))
    np.testing.assert_array_equal(read.planes[1], PLANES.max(axis=0))


def test_words_of_other_files_leave_a_file_of_own_names_as_it_is(tmp_path: Path) -> None:
    found_as = "red=C1; green=C2; blue=C3; yellow=C4"
    given = ome(tmp_path / "x.ome.tif", [*NAMES])
    read = read_planes(given, replace(RULES, found_as=found_as))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    said = "the file has none of the names of found_as: read by the channels' own names"
    assert read.flags == (said,)
    read = read_planes(fiji_stack(tmp_path / "x.tif", LABELS), replace(RULES, found_as=found_as))
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    assert read.flags == (said,)
    for names in (["red", "green", "blue", "C4"], ["red", "green", "blue", "DIC"]):
        with pytest.raises(InvalidImageError, match="no channel named C1, as found_as says"):
            read_planes(ome(tmp_path / "y.ome.tif", names), replace(RULES, found_as=found_as))


def test_a_color_picture_is_several_channels_only_if_that_is_stated(tmp_path: Path) -> None:
    three = Channels(CHANNELS.channels[:3])
    rules = ReadingRules(three, max_size_px=256)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.ascontiguousarray(PIXELS[..., :3]), photometric="rgb")
    given = dict.fromkeys(three.names, path)
    with pytest.raises(
        InvalidImageError, match=r"a red-green-blue picture: .*found_as: red=1; green=2; blue=3"
    ):
        read_planes(given, rules)
    for found_as in ("red=1; green=2; blue=3", "red=red; green=green; blue=blue"):
        read = read_planes(given, replace(rules, found_as=found_as))
        np.testing.assert_array_equal(np.stack(read.planes), PLANES[:3])
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(PIXELS[..., :3])).save(tmp_path / "x.png")
    with pytest.raises(InvalidImageError, match=r"red-green-blue picture: export each channel al"):
        read_planes(
            dict.fromkeys(three.names, tmp_path / "x.png"), replace(rules, found_as="red=1")
        )


def stack(path: Path, n_slices: int = 3) -> dict[str, Path]:
    """A stack [z,c] whose slice z of channel c is its plane, dimmed by 10·z where it is even."""
    volume = np.stack([np.where(PLANES % 2, PLANES, PLANES // (z + 1)) for z in range(n_slices)])
    return one_file(path, volume.astype(np.uint8), imagej=True, metadata={"axes": "ZCYX"})


def test_slices_in_depth_need_a_rule(tmp_path: Path) -> None:
    given = stack(tmp_path / "x.tif")
    with pytest.raises(
        InvalidImageError, match=r"x\.tif: 3 slices in depth, a stack: .*z: max.*z: 1 to z: 3"
    ):
        read_planes(given, RULES)
    with pytest.raises(InvalidImageError, match="3 slices in depth, but z is 4"):
        read_planes(given, replace(RULES, z=4))
    highest = read_planes(given, replace(RULES, z="max")).planes
    np.testing.assert_array_equal(np.stack(highest), PLANES)  # the first slice is the brightest
    second = read_planes(given, replace(RULES, z=2)).planes
    np.testing.assert_array_equal(np.stack(second), np.where(PLANES % 2, PLANES, PLANES // 2))


def test_a_rule_of_slices_leaves_flat_images_as_they_are(folder: Path) -> None:
    for z in ("max", 7):
        read = read_planes(files(folder, "a"), replace(RULES, z=z))
        np.testing.assert_array_equal(np.stack(read.planes), PLANES)


class Fake(OpenedImage):
    """An image of which only the description counts."""

    def __init__(self, **facts: Any) -> None:
        self.description = Description("OME-TIFF", 8, 8, np.dtype(np.uint8), **facts)

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        return np.full((8, 8), channel, np.uint8)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"n_times": 40}, r"x\.lif: a time series of 40 time points: export one"),
        ({"n_scenes": 3}, r"x\.lif: 3 fields in one file: name one, such as x\.lif#2"),
    ],
)
def test_time_series_and_files_of_several_fields_are_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, int], said: str
) -> None:
    made = Fake(channel_names=NAMES, **facts)
    monkeypatch.setattr("hpa.data.images.reading.open_image", lambda *_, **more: made)
    with pytest.raises(InvalidImageError, match=said):
        read_planes(dict.fromkeys(NAMES, Path("x.lif")), RULES)


def sized(sizes: dict[str, float | None], monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(
        "hpa.data.images.reading.open_image",
        lambda path, **more: Fake(pixel_size_um=sizes[path.name]),
    )
    return {name: Path(name) for name in sizes}


def test_the_pixel_size_is_that_of_the_files_else_that_of_the_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = replace(RULES, pixel_size_um=0.5)
    known = {"red": None, "green": 0.1}
    assert read_planes(sized(known, monkeypatch), rules).pixel_size_um == 0.1
    rounded = {"red": 0.1001, "green": 0.1}
    assert read_planes(sized(rounded, monkeypatch), rules).pixel_size_um == 0.1
    unknown = {"red": None, "green": None}
    assert read_planes(sized(unknown, monkeypatch), rules).pixel_size_um == 0.5
    assert read_planes(sized(unknown, monkeypatch), RULES).pixel_size_um is None
    with pytest.raises(InvalidImageError, match=r"unequal pixel size: red 0\.2 µm, green 0\.1 µm"):
        read_planes(sized({"red": 0.2, "green": 0.1}, monkeypatch), rules)


def test_values_on_which_the_model_was_not_trained_carry_a_flag(tmp_path: Path) -> None:
    given = ome(tmp_path / "x.ome.tif", list(NAMES), PLANES.astype(np.uint16) * 16)
    read = read_planes(given, RULES)
    np.testing.assert_array_equal(np.stack(read.planes), PLANES)
    said = "16-bit values, of which 0 became black and 4080 white; the model was trained on 8-bit "
    assert read.flags == (said + "images",)
    assert read_planes(given, replace(RULES, known_types=("uint8", "uint16"))).flags == ()
    even = ome(tmp_path / "y.ome.tif", list(NAMES), np.full_like(PLANES, 700, np.uint16))
    assert read_planes(even, RULES).flags[0].startswith("16-bit values, all alike; the model was")
    stretched = replace(RULES, depth=DepthRule("percentile", (0, 100)))
    assert "each channel stretched to its own range" in read_planes(given, stretched).flags[0]


def test_what_is_cut_or_lost_carries_a_flag(tmp_path: Path) -> None:
    deep = np.tile(PLANES, (1, 4, 4)).astype(np.uint16) * 16 + 1
    deep[1, 0, :2] = 60_000  # hot pixels: 2 of 65,536
    rules = replace(RULES, known_types=("uint16",))
    (flag,) = read_planes(ome(tmp_path / "x.ome.tif", list(NAMES), deep), rules).flags
    assert flag == "2 of 65,536 pixels of the green channel are beyond 0 to 4095 and were cut"
    given = {"green": tmp_path / "y.tif"}
    tifffile.imwrite(given["green"], np.arange(4096, dtype=np.uint16).reshape(64, 64))
    (flag,) = read_planes(given, replace(rules, depth=DepthRule.of(65535))).flags
    assert flag == "the green channel is left with 17 grey levels"


def test_an_error_of_depth_names_the_channel(tmp_path: Path) -> None:
    given = ome(tmp_path / "x.ome.tif", list(NAMES), PLANES.astype(np.uint16) * 16)
    with pytest.raises(
        InvalidImageError,
        match=r"^x\.ome\.tif: red: 16-bit values \(brightest \d+\), not of 8 bits$",
    ):
        read_planes(given, replace(RULES, depth=DepthRule("refuse")))
    wrong = (PLANES / 255).astype(np.float32)
    wrong[2, 3, 4] = np.nan
    with pytest.raises(
        InvalidImageError,
        match=r"^y\.ome\.tif: blue: values that are not numbers \(NaN .*\) in 1 of",
    ):
        read_planes(ome(tmp_path / "y.ome.tif", list(NAMES), wrong), RULES)
