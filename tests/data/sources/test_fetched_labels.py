"""Labels that fetch.labels states: a preset, a CSV, or the names of a table."""

from pathlib import Path

import pytest

from hpa.data.sources.fetched_labels import (
    fetched_labels,
    read_labels_csv,
    unused,
)
from hpa.errors import UserError
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Label, Labels


@pytest.fixture(autouse=True)
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder own/labels of a repository in which fetch runs."""
    (tmp_path / "own/labels").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Path("own/labels")


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def table(*cells: str) -> Path:
    rows = [f'i{number},"{cell}"' for number, cell in enumerate(cells)]
    return write(Path("table.csv"), "\n".join(["Id,Target", *rows]))


def from_table(path: Path) -> Labels:
    return fetched_labels("from_table", path)


def test_the_default_is_the_preset() -> None:
    assert fetched_labels("hpa2018", Path("nowhere.csv")) is hpa2018.LABELS


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("number,name,description,color\n7,Basal body,,\n3,Zellkörper,the cell,#ff8000\n", "utf-8"),
        ("Name;Number;Color;Description\nBasal body;7;;\n"
         "Zellkörper;3;#ff8000;the cell\n", "utf-16"),
        ("sep=;\nnumber;name;description;color;note\n7.0;Basal  body ;;;x\n"
         "3.0;Zellko\u0308rper;the cell;#ff8000;\n", "utf-8-sig"),
    ],
)  # fmt: skip
def test_a_csv_names_labels_with_gaps_in_any_order_and_encoding(
    watched: Path, content: str, encoding: str
) -> None:
    labels = fetched_labels(str(write(watched / "labels.csv", content, encoding)), Path("x.csv"))
    assert labels.labels == (
        Label(3, "Zellkörper", "the cell", "#ff8000"),
        Label(7, "Basal body"),
    )


def test_a_csv_needs_no_description_and_no_color(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(watched / "labels.csv", "number,name\n0,Cytosol\n")
    assert read_labels_csv(path) == Labels.named(["Cytosol"])
    assert capsys.readouterr().out == ""


def test_a_column_that_is_not_used_is_named_with_the_one_that_was_meant(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = watched / "labels.csv"
    path.write_text("number,name,colour,GO term\n0,Nucleoli,#00ff00,GO:0005730\n")
    assert read_labels_csv(path) == Labels.named(["Nucleoli"])
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: the column colour is not used; did you mean color?",
        f"{path}: the column GO term is not used",
    ]


def test_all_that_is_wrong_in_a_csv_is_listed_once_with_its_line(watched: Path) -> None:
    path = write(
        watched / "labels.csv",
        "number,name,color\n"
        "0,Cytosol,\n"
        "1,Nucleus; Nucleoli,\n"
        "\n"
        "2,12,\n"
        "-3,Vesicles,\n"
        "four,Golgi,\n"
        "2,cytosol,\n"
        "9,,\n"
        "10,Actin,blueish\n"
        "02.0,ACTIN,\n"
        f"11,{'x' * 81},\n",
    )
    with pytest.raises(UserError) as caught:
        read_labels_csv(path)
    said = str(caught.value)
    assert "11 rows, " not in said
    for expected in (
        "line 3: the name 'Nucleus; Nucleoli' is not allowed",
        "line 5: the name '12' is not allowed",
        "line 6: the number '-3' is not whole, from 0 to 999999",
        "line 7: the number 'four' is not whole, from 0 to 999999",
        "line 9: the name '' is not allowed",
        "line 10: 'Actin' has the color 'blueish', expected #rrggbb",
        f"line 12: the name '{'x' * 81}' is not allowed",
        "3 rows, lines 5, 8, 11: the number 2 is given more than once",
        "2 rows, lines 2, 8: the name 'cytosol' is given more than once",
        "2 rows, lines 10, 11: the name 'actin' is given more than once",
    ):
        assert said.count(expected) == 1, expected
    assert "number 0 is given" not in said  # rows with a wrong number have none


def test_a_csv_of_no_label_or_of_501_is_refused_and_500_are_read(watched: Path) -> None:
    rows = [f"{number},Label no {number}" for number in range(501)]
    with pytest.raises(UserError, match=r"1 to 500 rows(.|\n)*501 rows"):
        read_labels_csv(write(watched / "labels.csv", "\n".join(["number,name", *rows])))
    assert (
        len(read_labels_csv(write(watched / "a.csv", "\n".join(["number,name", *rows[1:]])))) == 500
    )
    with pytest.raises(UserError, match=r"1 to 500 rows(.|\n)*0 rows"):
        read_labels_csv(write(watched / "labels.csv", "number,name\n"))


def test_a_csv_without_a_column_or_that_is_missing_is_refused_with_a_remedy(watched: Path) -> None:
    with pytest.raises(UserError, match=r"missing or duplicate columns name in"):
        read_labels_csv(write(watched / "labels.csv", "number,label\n0,Cytosol\n"))
    with pytest.raises(UserError, match=r"lables\.csv, which fetch\.labels names(.|\n)*own/labels"):
        read_labels_csv(watched / "lables.csv")


def test_outside_the_watched_folder_a_line_says_that_dvc_does_not_notice_edits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    read_labels_csv(write(Path("own/other.csv"), "number,name\n0,Cytosol\n"))
    said = capsys.readouterr().out
    assert said.startswith("own/other.csv is outside own/labels, the folder that DVC watches")
    assert said.count("\n") == 1


def test_names_of_a_table_are_sorted_numbered_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = table(
        "Plasma membrane; basal body", "Basal body|Zellko\u0308rper", "", "Basal body (GO:0036064)",
        "PLASMA  membrane, Zellkörper", "plasma membrane", "plasma membrane;",
    )  # fmt: skip
    labels = fetched_labels("from_table", path)
    # Basal body: 2 cells against 1; plasma membrane: 2 against 1 and 1
    assert labels == Labels.named(["Basal body", "plasma membrane", "Zellkörper"])
    assert capsys.readouterr().out == (
        "3 labels in table.csv:\n"
        "    0  Basal body (3 rows)\n"
        "    1  plasma membrane (4 rows)\n"
        "    2  Zellkörper (2 rows)\n"
    )


@pytest.mark.parametrize("cells", [("0 25", "25", "0"), ("1", "2.0"), ("3;4", "-1"), ("25",)])
def test_numbers_alone_are_no_names(cells: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"holds numbers alone(.|\n)*CSV with the columns number"):
        from_table(table(*cells))


def test_all_texts_of_a_table_that_are_no_names_are_listed() -> None:
    long = "y" * 81
    with pytest.raises(UserError) as caught:
        from_table(table("Cytosol; 7", f"Cytosol; {long}", "7; 7 8"))
    said = str(caught.value)
    assert "'7' in 2 rows, lines 2, 4: a number" in said
    assert "'8' in line 4: a number" in said
    assert f"line 3: the name '{long}' is not allowed" in said
    assert "alone" not in said


def test_a_table_without_a_label_or_with_501_is_refused() -> None:
    with pytest.raises(UserError, match="0 different"):
        from_table(table("", ""))
    with pytest.raises(UserError, match=r"1 to 500 names(.|\n)*501 different"):
        from_table(table(*(f"note {number}" for number in range(501))))


def test_labels_without_an_image_are_named_in_a_line() -> None:
    labels = Labels((Label(2, "Axoneme"), Label(5, "Basal body"), Label(9, "Cytosol")))
    said = unused(labels, ["5", "", "5"])
    assert said.startswith("2 of 3 labels without an image")
    assert said.endswith(": Axoneme, Cytosol")
    many = unused(Labels.named([f"Part no {number}" for number in range(300)]), ["299"])
    assert many.startswith("299 of 300 labels")
    assert many.endswith("Part no 29 and 269 more")
    assert unused(labels, ["2 9", "5"]) == ""
