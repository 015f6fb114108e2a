"""Finding of a user's images: one rule for folders, files, globs and the page."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile

from hpa.data.images.file_names import (
    HIDDEN,
    OTHER_SUFFIX,
    list_passed_over,
    no_channel,
    split_name,
)
from hpa.data.images.user_files import (
    NOT_MATCHED,
    OTHER_ARCHIVE,
    OTHER_CAPITALS,
    check_paths,
    find_images,
)
from hpa.errors import UserError
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels, write_csv, write_image

NO_CHANNEL = no_channel(CHANNELS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "plate", "a", draw_pixels(1))
    write_image(tmp_path / "plate" / "deep", "b", draw_pixels(2))
    (tmp_path / "plate" / "notes.txt").write_text("no picture")
    return tmp_path / "plate"


def write_stack(path: Path, n_planes: int = 4) -> Path:
    pixels = np.zeros((n_planes, 16, 16), np.uint16)
    tifffile.imwrite(path, pixels if n_planes > 1 else pixels[0], photometric="minisblack")
    return path


def whole(path: Path) -> dict[str, Path]:
    return dict.fromkeys(CHANNELS.names, path)


def files(folder: Path, image_id: str) -> dict[str, Path]:
    return {name: folder / f"{image_id}_{name}.png" for name in CHANNELS.names}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x_green.png", ("x", "green")),
        ("x_Green.PNG", ("x", "green")),
        ("X_GREEN.TIF", ("X", "green")),
        ("x-green.jpeg", ("x", "green")),
        ("x green.tiff", ("x", "green")),
        ("x_red_green.png", ("x_red", "green")),
        ("x__green.png", ("x_", "green")),
        ("Zelle ü-1_yellow.jpg", ("Zelle ü-1", "yellow")),
        ("._x_red.png", None),
        ("_red.png", None),
        ("red.png", None),
        ("xred.png", None),
        ("x_ch1.png", None),
        ("x_green (1).png", None),
        ("x_green.png.part", None),
        ("x_green.bmp", None),
        ("x_green", None),
        (".DS_Store", None),
        ("Thumbs.db", None),
    ],
)
def test_a_file_name_gives_image_and_channel_or_nothing(
    name: str, expected: tuple[str, str] | None
) -> None:
    assert split_name(Path("plate") / name, CHANNELS) == expected


def test_folders_files_globs_and_csvs_find_the_same_files(folder: Path) -> None:
    expected = files(folder, "a")
    assert find_images([str(folder)], CHANNELS).images == {
        "a": expected,
        "deep/b": files(folder / "deep", "b"),
    }
    assert find_images([str(each) for each in expected.values()], CHANNELS).images == {
        "a": expected
    }
    assert list(find_images([str(folder / "a_*.png")], CHANNELS).images.values()) == [expected]
    table = folder / "table.csv"
    write_csv(
        table, ("Id", *CHANNELS.names), [("one", *(f"a_{name}.png" for name in CHANNELS.names))]
    )
    assert find_images([str(table)], CHANNELS).images == {"one": expected}


@pytest.mark.parametrize("name", ["*_green.png", "*_red.png", "a_blue.png", "a_?????.png", "?_*"])
def test_one_file_of_an_image_stands_for_all_of_them(folder: Path, name: str) -> None:
    """Whichever files a glob matches, the image is that of its folder."""
    found = find_images([str(folder / name)], CHANNELS)
    assert list(found.images.values()) == [files(folder, "a")]


def test_only_the_images_that_were_named_are_completed(folder: Path) -> None:
    write_image(folder, "ab", draw_pixels(3))
    found = find_images([str(folder / "a_green.png")], CHANNELS)
    assert found.images == {"a": files(folder, "a")}
    assert found.passed_over == {}


def test_a_glob_in_the_current_folder_is_completed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for text in ("*_green.png", "./*_green.png", "a_green.png"):
        assert find_images([text], CHANNELS).images == {"a": files(Path(), "a")}


def test_a_glob_of_folders_searches_them(folder: Path) -> None:
    found = find_images([str(folder.parent / "pl*")], CHANNELS)
    assert list(found.images.values()) == [files(folder, "a"), files(folder / "deep", "b")]


def test_every_file_is_read_or_passed_over_with_a_reason(folder: Path) -> None:
    """`deep` holds files that are almost right; together they are all files below it."""
    deep = folder / "deep"
    passed = {
        ".DS_Store": HIDDEN,
        "._b_red.png": HIDDEN,
        "Thumbs.db": OTHER_SUFFIX,
        "b_green.png.part": OTHER_SUFFIX,
        "b_green.bmp": OTHER_SUFFIX,
        "b_ch1.png": NO_CHANNEL,
        "b_green (1).png": NO_CHANNEL,
        "green.png": NO_CHANNEL,
        "train.csv": OTHER_SUFFIX,
        ".thumbnails": HIDDEN,
        "link": "a link to a folder",
    }
    for name in [*passed, "C_GREEN.TIF", "c-red.png", "C blue.JPG", "d_red.png"]:
        if name == ".thumbnails":
            write_image(deep / name, "b", draw_pixels(2))
        elif name == "link":
            (deep / name).symlink_to(folder)
        else:
            (deep / name).write_bytes(b"")
    found = find_images([str(folder)], CHANNELS)
    assert {path.name: reason for path, reason in found.passed_over.items()} == passed | {
        "notes.txt": OTHER_SUFFIX
    }
    assert found.images == {
        "a": files(folder, "a"),
        "deep/b": files(deep, "b"),
        "deep/C": {"blue": deep / "C blue.JPG", "green": deep / "C_GREEN.TIF"},
        "deep/c": {"red": deep / "c-red.png"},
        "deep/d": {"red": deep / "d_red.png"},
    }


def test_a_glob_names_the_pictures_beside_its_images_that_are_left_out(folder: Path) -> None:
    (folder / "a_red.png").rename(folder / "a_red (1).png")
    others = ["a_green.tif", "._a_green.png", "other (1).png", "b_Green.PNG", "A_red.png"]
    for name in (*others, "notes.txt"):
        (folder / name).write_bytes(b"")
    found = find_images([str(folder / "*_green.png")], CHANNELS)
    assert [sorted(each) for each in found.images.values()] == [["blue", "green", "yellow"]]
    assert {path.name: reason for path, reason in found.passed_over.items()} == {
        "a_red (1).png": NO_CHANNEL,
        "other (1).png": NO_CHANNEL,
        "a_green.tif": "a_green.png was named",
        "._a_green.png": HIDDEN,
        "b_Green.PNG": NOT_MATCHED,
        "A_red.png": OTHER_CAPITALS,
    }
    both = find_images(
        [str(folder / f"*_{ending}") for ending in ("green.png", "Green.PNG")], CHANNELS
    )
    assert NOT_MATCHED not in both.passed_over.values()


def test_a_row_without_an_id_is_refused(folder: Path) -> None:
    table = folder / "own.csv"
    table.write_text("Id,green\na,a_green.png\n,b_green.png\n")
    with pytest.raises(UserError, match="no Id in line 3"):
        find_images([str(table)], CHANNELS)


def test_passed_over_files_are_one_line_for_each_reason() -> None:
    passed = {Path(f"{number}.txt"): "no picture" for number in range(7)} | {Path("._x"): HIDDEN}
    assert list_passed_over(passed) == [
        "passed over (no picture): 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more",
        "passed over (hidden): ._x",
    ]


@pytest.mark.parametrize("path", ["nowhere", "nothing*.png", "nowhere_green.png", "deep/nowhere"])
def test_a_path_without_an_image_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(UserError, match=path.replace("*", "\\*")):
        find_images([str(folder / path)], CHANNELS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes.txt", OTHER_SUFFIX),
        ("x_green.bmp", OTHER_SUFFIX),
        ("x_ch1.png", NO_CHANNEL),
        ("._x_green.png", HIDDEN),
    ],
)
def test_a_named_file_that_would_be_passed_over_is_refused(
    folder: Path, name: str, reason: str
) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"{name}(.|\n)*\({reason}\)"):
        find_images([str(folder / name)], CHANNELS)


def test_a_folder_of_passed_over_files_is_refused_with_their_reasons(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "empty" / "x_ch1.png").write_bytes(b"")
    with pytest.raises(UserError, match=rf"no image(.|\n)*{NO_CHANNEL}(.|\n)*x_ch1\.png"):
        find_images([str(folder / "empty")], CHANNELS)


@pytest.mark.parametrize("other", ["a_green.tif", "a_Green.png", "a-green.png"])
def test_two_files_for_one_channel_are_refused(folder: Path, other: str) -> None:
    (folder / other).write_bytes(b"")
    with pytest.raises(UserError, match="two files for the green channel of 'a'"):
        find_images([str(folder)], CHANNELS)
    with pytest.raises(UserError, match="two files for the green channel of 'a'"):
        find_images([str(folder / "a_red.png")], CHANNELS)


def test_a_file_of_several_channels_is_every_channel_of_its_image(folder: Path) -> None:
    stack = write_stack(folder / "plate7 (3).ome.tif")
    for name in ("x.czi", "y.ome.zarr.zip"):
        (folder / name).write_bytes(b"not read by its name")
    zarr = folder / "deep" / "z.ome.zarr"
    (zarr / "0").mkdir(parents=True)
    (zarr / "0" / "b_green.png").write_bytes(b"inside of an image, so never looked at")
    found = find_images([str(folder)], CHANNELS)
    assert found.images == {
        "a": files(folder, "a"),
        "deep/b": files(folder / "deep", "b"),
        "deep/z": whole(zarr),
        "plate7 (3)": whole(stack),
        "x": whole(folder / "x.czi"),
        "y": whole(folder / "y.ome.zarr.zip"),
    }
    assert [path.name for path in found.passed_over] == ["notes.txt"]


def test_a_zip_file_is_an_image_if_it_holds_one(folder: Path) -> None:
    for name, member in (("x.zip", "0/zarr.json"), ("y.zip", "photo.jpg")):
        with ZipFile(folder / name, "w") as archive:
            archive.writestr(member, "")
    (folder / "z.zip").write_bytes(b"cut")
    found = find_images([str(folder)], CHANNELS)
    assert found.images["x"] == whole(folder / "x.zip")
    assert {path.name for path in found.passed_over} == {"y.zip", "z.zip", "notes.txt"}
    assert found.passed_over[folder / "y.zip"] == OTHER_ARCHIVE


def test_files_of_several_channels_are_found_however_they_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, zarr = write_stack(folder / "s (1).ome.tif"), folder / "z.zarr"
    zarr.mkdir()
    (folder / "x.lif").write_bytes(b"")
    assert find_images([str(stack)], CHANNELS).images == {"s (1)": whole(stack)}
    assert find_images([str(zarr)], CHANNELS).images == {"z": whole(zarr)}
    scenes = [f"{folder}/x.lif#{number}" for number in (1, 3)]
    check_paths([*scenes, str(zarr), str(folder / "*.zarr")])
    assert find_images(scenes, CHANNELS).images == {
        "x#1": whole(Path(scenes[0])),
        "x#3": whole(Path(scenes[1])),
    }
    monkeypatch.chdir(folder)
    found = find_images(["*.ome.tif", "z*"], CHANNELS)
    assert found.images == {"s (1)": whole(Path("s (1).ome.tif")), "z": whole(Path("z.zarr"))}
    assert NOT_MATCHED in found.passed_over.values()  # the channels of a
    for wrong in ("y.lif#3", "x.lif#0", "y.zarr"):
        with pytest.raises(UserError, match=wrong):
            check_paths([wrong])


def test_a_field_inside_an_ome_zarr_is_an_image(folder: Path) -> None:
    """The reader refuses a whole plate, and names such paths."""
    fields = [folder / f"p.ome.zarr/B/{column}/0" for column in (2, 3)]
    for path in fields:
        path.mkdir(parents=True)
    expected = {"p/B/2/0": whole(fields[0]), "p/B/3/0": whole(fields[1])}
    assert find_images([*map(str, fields)], CHANNELS).images == expected
    assert find_images([str(folder / "p.ome.zarr/B/*/0")], CHANNELS).images == expected
    found = find_images([str(folder / "p*/**")], CHANNELS)
    assert found.images == {str(folder / "p"): whole(folder / "p.ome.zarr")}


def test_one_plane_without_a_channel_in_its_name_is_passed_over(folder: Path) -> None:
    write_stack(folder / "a_dapi.tif", 1)
    found = find_images([str(folder)], CHANNELS)
    assert found.passed_over[folder / "a_dapi.tif"] == NO_CHANNEL
    assert "a_dapi" not in found.images
    with pytest.raises(UserError, match=r"a_dapi\.tif is not one channel of an image"):
        find_images([str(folder / "a_dapi.tif")], CHANNELS)
    found = find_images([str(folder / "a_green.png")], CHANNELS)
    assert found.passed_over == {folder / "a_dapi.tif": NO_CHANNEL}


def test_a_damaged_tiff_is_left_to_the_reader(folder: Path) -> None:
    """Its image then is one that cannot be read, with the reason."""
    (folder / "cut.ome.tif").write_bytes(b"II*\0\x08")
    assert "cut" in find_images([str(folder)], CHANNELS).images


def test_numbers_of_channels_count_unless_the_file_states_several_channels(folder: Path) -> None:
    """`C1-` may be a well of several channels, or the first channel that ImageJ saved."""
    write_stack(folder / "C1-plate.tif", 3)
    tifffile.imwrite(
        folder / "C1-well.tif", np.zeros((4, 16, 16), np.uint8), ome=True, metadata={"axes": "CYX"}
    )
    found = find_images([str(folder)], CHANNELS)
    assert found.images["C1-well"] == whole(folder / "C1-well.tif")
    assert found.passed_over[folder / "C1-plate.tif"] == NO_CHANNEL


def test_words_and_patterns_find_the_channels_of_images(folder: Path) -> None:
    for name in ("C1-p.tif", "C2-p.tif", "q_C1.tif", "q_red.png"):
        (folder / "deep" / name).write_bytes(b"")
    deep = folder / "deep"
    stated = {"found_as": "green=C1; blue=C2"}
    for paths in ([str(deep)], [str(deep / "C1-p.tif"), str(deep / "q*")]):
        found = find_images(paths, CHANNELS, **stated).images
        images = {Path(name).name: each for name, each in found.items()}
        assert images["p"] == {"green": deep / "C1-p.tif", "blue": deep / "C2-p.tif"}
        assert images["q"] == {"green": deep / "q_C1.tif", "red": deep / "q_red.png"}
    found = find_images([str(deep)], CHANNELS, pattern=r"(?P<channel>C\d)-(?P<name>.+)", **stated)
    assert found.images == {"p": {"green": deep / "C1-p.tif", "blue": deep / "C2-p.tif"}}
    assert len(found.passed_over) == 6


def test_a_folder_of_numbered_channels_is_refused_with_the_line_to_set(folder: Path) -> None:
    (folder / "numbered").mkdir()
    for number in (1, 2):
        write_stack(folder / "numbered" / f"C{number}-x.tif", 1)
    for path in ("", "C2-x.tif"):
        with pytest.raises(
            UserError, match=r'set fetch.found_as or serve.found_as: "CHANNEL=C1; CHANNEL=C2"'
        ):
            find_images([str(folder / "numbered" / path)], CHANNELS)


def test_names_that_a_pattern_of_training_does_not_match_say_how_to_read_them(
    folder: Path,
) -> None:
    for path in ("", "a_green.png"):
        with pytest.raises(UserError) as caught:
            find_images([str(folder / path)], CHANNELS, pattern=r"(?P<name>.+)_w(?P<channel>\d)")
        said = str(caught.value)
        assert "does not match the pattern" in said
        suggested = said.split("set serve.pattern, such as '")[1].split("'")[0]
        assert "a" in find_images([str(folder)], CHANNELS, pattern=suggested).images


@pytest.mark.parametrize("other", ["a.ome.tif", "a.zarr", "a.czi"])
def test_a_file_of_all_channels_beside_those_of_its_image_is_refused(
    folder: Path, other: str
) -> None:
    (folder / other).write_bytes(b"")
    for path in ("", "a_green.png", other):
        with pytest.raises(UserError, match=r"two files for the \w+ channel of 'a'"):
            find_images([str(folder / path)], CHANNELS)


def test_two_files_of_all_channels_of_one_name_are_refused(folder: Path) -> None:
    write_stack(folder / "s.tif")
    write_stack(folder / "s.ome.tif")
    with pytest.raises(UserError, match=r"of 's'(.|\n)*s\.ome\.tif and .*s\.tif"):
        find_images([str(folder)], CHANNELS)


def test_an_image_spread_over_files_is_one_image(folder: Path) -> None:
    names = [f"s_Z{number}.ome.tif" for number in (1, 2, 3)]
    data = "".join(f'<UUID FileName="{name}">urn:uuid:0</UUID>' for name in names)
    for name in names:
        tifffile.imwrite(
            folder / name,
            np.zeros((16, 16), np.uint8),
            description=f"<OME><Image>{data}</Image></OME>",
            metadata=None,
        )
    for path in (".", "s_Z*.tif", "s_Z2.ome.tif"):
        found = find_images([str(folder / path)], CHANNELS)
        images = {Path(name).name: each for name, each in found.images.items()}
        assert images["s"] == whole(folder / "s_Z1.ome.tif")
        assert not [name for name in images if name.startswith("s_")]
        assert found.passed_over[folder / "s_Z2.ome.tif"].endswith("begins with s_Z1.ome.tif")
    found = find_images([str(folder / "s_Z2*")], CHANNELS)
    assert [path.name for path in found.passed_over if path.name.startswith("s_")] == [names[1]]
    found = find_images([str(folder)], CHANNELS, pattern=r"(?P<name>s_.+)")
    assert found.images == {"s_Z1": whole(folder / "s_Z1.ome.tif")}


def test_pictures_of_any_name_are_images_of_one_channel_unless_others_name_it(
    tmp_path: Path,
) -> None:
    one = Channels((Channel("gfp", "protein", "green"),))
    for name in ("x.png", "y.tif", "deep/z_gfp.png", "deep/z_dapi.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_stack(tmp_path / name, 1)
    found = find_images([str(tmp_path)], one)
    assert found.images == {
        "deep/z": {"gfp": tmp_path / "deep/z_gfp.png"},
        "x": {"gfp": tmp_path / "x.png"},
        "y": {"gfp": tmp_path / "y.tif"},
    }
    assert found.passed_over == {tmp_path / "deep/z_dapi.png": no_channel(one)}


def test_no_file_is_opened_whose_name_tells_its_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CHANNELS.names:
        (tmp_path / f"a_{name}.tif").write_bytes(b"")
    (tmp_path / "a.czi").write_bytes(b"")
    monkeypatch.setattr("hpa.data.images.user_files.glance", None)
    with pytest.raises(UserError, match="two files"):
        find_images([str(tmp_path)], CHANNELS)
    (tmp_path / "a.czi").unlink()
    assert find_images([str(tmp_path)], CHANNELS).images == {
        "a": {name: tmp_path / f"a_{name}.tif" for name in CHANNELS.names}
    }


def test_a_look_at_many_files_shows_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.czi").write_bytes(b"")
    monkeypatch.setattr("hpa.system.progress.PERIOD_S", 1e-9)
    assert len(find_images([str(tmp_path)], CHANNELS).images) == 3
    assert "look" not in capsys.readouterr().err
    monkeypatch.setattr("hpa.data.images.user_files.MANY_FILES", 3)
    assert len(find_images([str(tmp_path)], CHANNELS).images) == 3
    assert "of 3 files" in capsys.readouterr().err
