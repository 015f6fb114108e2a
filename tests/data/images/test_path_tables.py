"""Tables of paths: a column per channel, one column of files, and those of SubCellPortable."""

from pathlib import Path

import pytest

from hpa.data.images.path_tables import read_paths
from hpa.data.images.user_files import find_images
from hpa.errors import UserError
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS

OWN = Channels((Channel("dapi", "nucleus", "blue"), Channel("gfp", "protein", "green")))


def write(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def found(table: Path, channels: Channels = CHANNELS) -> dict[str, dict[str, str]]:
    """Return the cells by image and channel, as predict finds them."""
    return {
        name: {channel: str(path.relative_to(table.parent)) for channel, path in files.items()}
        for name, files in find_images([str(table)], channels).images.items()
    }


@pytest.mark.parametrize("column", ["file", "File", "image"])
def test_one_column_of_files_holds_all_channels(tmp_path: Path, column: str) -> None:
    table = write(tmp_path, f"Id,{column}", "a,x/1.ome.tif", "b,x/2.lif#3")
    assert found(table) == {
        "a": dict.fromkeys(CHANNELS.names, "x/1.ome.tif"),
        "b": dict.fromkeys(CHANNELS.names, "x/2.lif#3"),
    }


def test_files_without_an_id_are_named_by_their_stems(tmp_path: Path) -> None:
    table = write(tmp_path, "file", "x/plate7 (3).ome.tif", "2.lif#3")
    assert list(found(table)) == ["plate7 (3)", "2#3"]


def test_files_and_channels_may_take_turns_in_the_rows(tmp_path: Path) -> None:
    table = write(tmp_path, "Id,green,red,file", "a,1g.tif,1r.tif,", "b,,,2.tif", "c,3g.tif,,4.tif")
    assert found(table) == {
        "a": {"green": "1g.tif", "red": "1r.tif"},
        "b": dict.fromkeys(CHANNELS.names, "2.tif"),
        "c": {"green": "3g.tif"},  # what is said of a channel counts
    }


SUBCELL = "r_image,y_image,b_image,g_image,output_prefix"
CELL_1 = {"red": "i/c_1_mt.png", "blue": "i/c_1_nuc.png", "green": "i/c_1_prot.png"}


@pytest.mark.parametrize(
    "lines",
    [
        (SUBCELL, "i/c_1_mt.png,,i/c_1_nuc.png,i/c_1_prot.png,cell1_"),
        (f"#{SUBCELL}", "i/c_1_mt.png,,i/c_1_nuc.png,i/c_1_prot.png,cell1_"),
        ("# cells of May", f"# {SUBCELL.upper()}", "#x,y,b,g,skipped",
         "i/c_1_mt.png,,i/c_1_nuc.png,i/c_1_prot.png,cell1_", "#i/2.png,,,i/3.png"),
        ("#r_image,y_image,b_image,g_image,output_folder,output_prefix",
         "i/c_1_mt.png,,i/c_1_nuc.png,i/c_1_prot.png,output,cell1_"),
        ("b_image;g_image;output_prefix;r_image", "i/c_1_nuc.png;i/c_1_prot.png;cell1_;"
         "i/c_1_mt.png", "#i/c_2_nuc.png;i/c_2_prot.png;cell2_;"),
    ],
)  # fmt: skip
def test_tables_of_subcellportable_are_read_as_they_are(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    assert found(write(tmp_path, *lines)) == {"cell1": CELL_1}


def test_images_without_a_prefix_are_named_after_their_files(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        SUBCELL,
        "i/c_1_mt.png,,i/c_1_nuc.png,i/c_1_prot.png,",
        "i/c_2_red.png,i/c_2_yellow.png,i/c_2_blue.png,i/c_2_green.png,",
        ",,,other.png,",
        ",,,z.png,experiment_A/cell2_",
    )
    assert list(found(table)) == ["c_1", "c_2", "other", "experiment_A/cell2"]


def test_channels_of_other_names_are_matched_by_role(tmp_path: Path) -> None:
    table = write(tmp_path, SUBCELL, "r.png,y.png,b.png,g.png,a")
    assert found(table, OWN) == {"a": {"dapi": "b.png", "gfp": "g.png"}}


def test_a_number_sign_begins_a_comment_only_in_that_table(tmp_path: Path) -> None:
    table = write(tmp_path, "Id,green", "#1,1.png", "2,#2.png")
    assert found(table) == {"#1": {"green": "1.png"}, "2": {"green": "#2.png"}}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("Id,red", "a,1.png"), "missing or duplicate columns green in"),
        (("green", "1.png"), r"missing or duplicate columns Id in \['green'\]"),
        (("Id,file,file", "a,1,2"), "missing or duplicate columns file"),
        (("r_image,b_image,output_prefix", "a.png,b.png,c"), "missing or duplicate columns"),
        (("Id,green", "a,https://example.org/a_green.jpg"),
         r"addresses instead of files(.|\n)*line 2: https"),
        (("Id,file", ",a.tif"), "no Id in line 2"),
        (("Id,file",), "a header without rows"),
        (("#1,2", "3,4"), "missing or duplicate columns"),
    ],
)  # fmt: skip
def test_a_table_without_images_or_names_is_refused(
    tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        found(write(tmp_path, *lines))


def test_the_row_of_a_comment_is_counted_in_the_numbers_of_lines(tmp_path: Path) -> None:
    table = write(tmp_path, f"#{SUBCELL}", "#skipped", ",,,g.png,a", ",,,h.png,b")
    assert list(read_paths(table, CHANNELS)["line"]) == ["3", "4"]
