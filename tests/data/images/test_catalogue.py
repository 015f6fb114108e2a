"""Reading the catalogue: accepted variants, and errors that name file, line and Id."""

from pathlib import Path

import pytest

from hpa.data.images.catalogue import channel_path, read_catalogue
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import HPA_2018
from support.worlds import IDS, N_LABELLED, target


def rewrite(raw_dir: Path, *changes: tuple[str, str]) -> None:
    """Replace texts in train.csv, each of which occurs once."""
    path = raw_dir / "train.csv"
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_labelled_images_come_first_in_the_order_of_the_files(raw_world: Path) -> None:
    catalogue = read_catalogue(raw_world, HPA_2018)
    assert list(catalogue) == ["Id", "Target", "group", "labelled", "folder"]
    assert list(catalogue["Id"]) == IDS
    assert list(catalogue["Target"][:3]) == [target(0), target(1), target(2)]
    assert set(catalogue["Target"][N_LABELLED:]) == {""}
    assert catalogue["labelled"].dtype == bool
    assert catalogue["labelled"].sum() == N_LABELLED
    assert list(catalogue["folder"]) == ["train"] * N_LABELLED + ["test"] * 4
    assert list(catalogue["group"]) == IDS


@pytest.mark.parametrize("content", [None, "Id,Predicted\n"])
def test_unlabelled_images_may_be_absent(own_world: Path, content: str | None) -> None:
    (own_world / "sample_submission.csv").unlink()
    if content:
        (own_world / "sample_submission.csv").write_text(content)
    catalogue = read_catalogue(own_world, HPA_2018)
    assert len(catalogue) == N_LABELLED
    assert catalogue["labelled"].dtype == bool


def test_the_group_column_is_read_and_empty_cells_default_to_the_id(own_world: Path) -> None:
    path = own_world / "train.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    groups = ["NA", "NA", "", *["1"] * (len(rows) - 3)]
    lines = [
        f"{header},group",
        *(f"{row},{group}" for row, group in zip(rows, groups, strict=True)),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert list(read_catalogue(own_world, HPA_2018)["group"][:4]) == ["NA", "NA", IDS[2], "1"]


def test_byte_order_mark_windows_line_endings_and_blank_lines_are_accepted(
    own_world: Path, raw_world: Path
) -> None:
    path = own_world / "train.csv"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([*lines[:3], b"", *lines[3:]]) + b"\r\n\r\n")
    assert read_catalogue(own_world, HPA_2018).equals(read_catalogue(raw_world, HPA_2018))


@pytest.mark.parametrize("end", [b"  ", b"\t\n", b" \r\n \r\n"])
def test_lines_of_white_space_are_ignored(own_world: Path, raw_world: Path, end: bytes) -> None:
    path = own_world / "train.csv"
    path.write_bytes(path.read_bytes() + end)
    assert read_catalogue(own_world, HPA_2018).equals(read_catalogue(raw_world, HPA_2018))


@pytest.mark.parametrize("more", ["line", "", ",", "note,note", "labelled,folder", "line,line"])
def test_additional_columns_may_have_any_name(own_world: Path, raw_world: Path, more: str) -> None:
    path = own_world / "train.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    cells = more.count(",") * "," + "x"
    path.write_text("\n".join([f"{header},{more}", *(f"{row},{cells}" for row in rows)]))
    assert read_catalogue(own_world, HPA_2018).equals(read_catalogue(raw_world, HPA_2018))


def test_an_error_names_the_line_even_if_a_column_is_called_line(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("line,Id,Target\n7,a,1\n8,b,99\n")
    with pytest.raises(UserError, match="line 3, Id 'b': unknown label '99'"):
        read_catalogue(tmp_path, HPA_2018)


@pytest.mark.parametrize("image_id", ["NA", "null", "007", "1e5", "ä b", "-x"])
def test_an_id_is_read_as_text(own_world: Path, image_id: str) -> None:
    rewrite(own_world, ("cell-001", image_id))
    for path in (own_world / "train").glob("cell-001_*"):
        path.rename(path.with_name(path.name.replace("cell-001", image_id)))
    assert read_catalogue(own_world, HPA_2018)["Id"][1] == image_id


@pytest.mark.parametrize(
    ("cell", "problem"),
    [("28", "unknown label '28'"), ("Nucleolus", "unknown label 'Nucleolus'"), ("", "no label"),
     (" ", "no label"), ("1 1", "duplicate label"), ("-1", "unknown label '-1'")],
)  # fmt: skip
def test_a_bad_label_is_refused_with_line_and_id(own_world: Path, cell: str, problem: str) -> None:
    rewrite(own_world, (f"cell-001,{target(1)}\n", f"cell-001,{cell}\n"))
    with pytest.raises(
        UserError, match=rf"train\.csv has labels(.|\n)*line 3, Id 'cell-001': .*{problem}"
    ) as caught:
        read_catalogue(own_world, HPA_2018)
    assert repr(cell.strip()) in str(caught.value)


def test_the_line_number_counts_blank_lines(own_world: Path) -> None:
    rewrite(own_world, (f"cell-001,{target(1)}\n", "\n\ncell-001,99\n"))
    with pytest.raises(UserError, match="line 5, Id 'cell-001'"):
        read_catalogue(own_world, HPA_2018)


def test_a_duplicate_id_is_refused(own_world: Path) -> None:
    rewrite(own_world, ("cell-002,", "cell-001,"))
    with pytest.raises(UserError, match=r"duplicate Ids(.|\n)*1: 'cell-001'"):
        read_catalogue(own_world, HPA_2018)


def test_an_id_may_not_be_labelled_and_unlabelled(own_world: Path) -> None:
    (own_world / "sample_submission.csv").write_text("Id,Predicted\ncell-003,0\n")
    with pytest.raises(UserError, match=r"duplicate Ids(.|\n)*'cell-003'"):
        read_catalogue(own_world, HPA_2018)


@pytest.mark.parametrize(
    "image_id", ["../secret", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a/"]
)
def test_an_id_that_is_not_a_file_name_is_refused(own_world: Path, image_id: str) -> None:
    rewrite(own_world, ("cell-001,", f"{image_id},"))
    with pytest.raises(UserError, match="Ids that are not file names") as caught:
        read_catalogue(own_world, HPA_2018)
    assert repr(image_id) in str(caught.value)


@pytest.mark.parametrize("image_id", ["x" * 300, "ä" * 101])
def test_an_id_too_long_for_a_file_name_is_refused(own_world: Path, image_id: str) -> None:
    rewrite(own_world, ("cell-001,", f"{image_id},"))
    with pytest.raises(UserError, match=r"longer than 200 bytes(.|\n)*1: '(x|ä){40}…'"):
        read_catalogue(own_world, HPA_2018)


def test_an_id_without_files_is_refused(own_world: Path) -> None:
    rewrite(own_world, ("cell-001,", "cell-999,"))
    with pytest.raises(
        UserError, match=r"files are missing in .*train(.|\n)*4 missing: cell-999_red"
    ):
        read_catalogue(own_world, HPA_2018)


def test_a_missing_channel_is_refused(own_world: Path) -> None:
    channel_path(own_world / "test", IDS[-1], "yellow").unlink()
    with pytest.raises(
        UserError, match=rf"missing in .*test(.|\n)*1 missing: {IDS[-1]}_yellow\.png"
    ):
        read_catalogue(own_world, HPA_2018)


def test_a_missing_folder_is_refused(own_world: Path) -> None:
    (own_world / "train").rename(own_world / "training")
    with pytest.raises(UserError, match="160 missing"):
        read_catalogue(own_world, HPA_2018)


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "an empty file"),
        (b"\xef\xbb\xbf", "an empty file"),
        (b"Id,Target\n", "a header without rows"),
        (b"Id,targets\na,1\n", r"missing or duplicate columns Target in \['Id', 'targets'\]"),
        (b"Id,Target,target\na,1,1\n", "missing or duplicate columns Target"),
        (b"Id,Target,Target\na,1,1\n", "missing or duplicate columns Target"),
        (b"Id,Target,group,group\na,1,g,h\n", "missing or duplicate columns group in"),
        (b"Id|Target\na|1\n", r"\['Id|Target'\]"),
        (b"PK\x03\x04rest of a workbook", "a spreadsheet's own format"),
        (b"Id,Target\na,1,2\n", r"3 cells in line 2: \['a', '1', '2'\]"),
        (b"Id,Target\na,1\nb\n", r"1 cells in line 3: \['b'\]"),
        (b'Id,Target\na,"1\n', "unexpected end of data"),
        (b"Id,Target\n\xff\xfe,1\n", "can't decode byte"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "can't decode byte"),
    ],
)
def test_a_file_that_is_not_such_a_table_is_refused(
    tmp_path: Path, content: bytes, received: str
) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"train\.csv is not the expected table(.|\n)*{received}"):
        read_catalogue(tmp_path, HPA_2018)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.csv is missing"):
        read_catalogue(tmp_path, HPA_2018)


def test_the_real_sample_is_read(real_data: Path) -> None:
    catalogue = read_catalogue(real_data / "sample48", HPA_2018)
    assert len(catalogue) == 48
    assert catalogue["labelled"].all()
