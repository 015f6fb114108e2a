"""Finding of a user's images: one rule for folders, files, globs and the page."""

from pathlib import Path

import pytest

from hpa.data.images.file_names import (
    HIDDEN,
    OTHER_SUFFIX,
    list_passed_over,
    no_channel,
    split_name,
)
from hpa.data.images.user_files import NOT_MATCHED, OTHER_CAPITALS, find_images
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels, write_csv, write_image

NO_CHANNEL = no_channel(CHANNELS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "plate", "a", draw_pixels(1))
    write_image(tmp_path / "plate" / "deep", "b", draw_pixels(2))
    (tmp_path / "plate" / "notes.txt").write_text("no picture")
    return tmp_path / "plate"


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
