"""Tables as spreadsheets and other programs save them are read; what cannot be read is listed."""

from pathlib import Path

import pandas as pd
import pytest

from hpa.data.images.csv_tables import antibodies, read_csv, read_labels, with_groups
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import LABELS

ROWS = [("a", "Cytosol; Nucleoplasm"), ("b", "")]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "Id,Target\na,Cytosol; Nucleoplasm\nb,\n",
        "id,TARGET\na,Cytosol; Nucleoplasm\nb,\n",
        " Id , Target \n a , Cytosol; Nucleoplasm \n b , \n",
        'Id, Target\n"a", "Cytosol; Nucleoplasm"\n"b", ""\n',
        'Id;Target\na;"Cytosol; Nucleoplasm"\nb;\n',
        'sep=;\r\nId;Target\r\na;"Cytosol; Nucleoplasm"\r\nb;\r\n',
        "Id\tTarget\na\tCytosol; Nucleoplasm\nb\t\n",
        '"Id","Target"\n"a","Cytosol; Nucleoplasm"\n"b",""\n',
        '"Id";"Target"\n"a";"Cytosol; Nucleoplasm"\n"b";""\n',
        '"Id"\t"Target"\n"a"\t"Cytosol; Nucleoplasm"\n"b"\t""\n',
        '"","Id","Target"\n"1","a","Cytosol; Nucleoplasm"\n"2","b",""\n',
        '"sep=;"\r\nId;Target\r\na;"Cytosol; Nucleoplasm"\r\nb;\r\n',
        "Id,Target\r\na,Cytosol; Nucleoplasm\r\nb,\r\n,\r\n,\r\n",
        "Id,Target\ra,Cytosol; Nucleoplasm\rb,\r",
        "\n\nId,Target\n,,\na,Cytosol; Nucleoplasm\n\nb,\n,\n",
        "Id,Target,,\na,Cytosol; Nucleoplasm,,\nb,,,\n,,,\n",
        "Id,Target\na,Cytosol; Nucleoplasm,,,\nb,,\n",
        "\ufeffId,Target\na,Cytosol; Nucleoplasm\nb,\n",
        "Id\tTarget\r\na\tCytosol; Nucleoplasm\r\nb\t\r\n".encode("utf-16"),
        b"\xfe\xff" + "Id,Target\na,Cytosol; Nucleoplasm\nb,\n".encode("utf-16-be"),
    ],
)
def test_variants_of_a_table_are_read_alike(tmp_path: Path, content: str | bytes) -> None:
    table = read_csv(write(tmp_path / "own.csv", content), ["Id", "Target"])
    assert list(table[["Id", "Target"]].itertuples(index=False, name=None)) == ROWS


def test_lines_are_counted_as_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", 'sep=;\nId;Target\n\n;\na;"1\n2"\nb;\n')
    assert list(read_csv(path, ["Id", "Target"])["line"]) == ["6", "7"]


def test_other_columns_may_hold_any_delimiter(tmp_path: Path) -> None:
    content = 'note, if any;Id;Target;made, by\n"x, y";a;1;"1,5"\n'
    table = read_csv(write(tmp_path / "own.csv", content), ["Id", "Target"])
    assert (table["Id"][0], table["Target"][0]) == ("a", "1")


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ("Id,Target\na,1,2\n", "3 cells in line 2"),
        ("Id,Target\na\n", "1 cells in line 2"),
        ("Id Target\na 1\n", "missing or duplicate columns Id, Target"),
        ('Id,Target\n"a","1"\n"b" ,"2"\n', "line 3: ',' expected"),
        ("Id,Target\na,1\n".encode("utf-16-le"), "zero bytes"),
    ],
)
@pytest.mark.parametrize("name", ["own.csv", "train.csv"])
def test_the_remedy_holds_for_tables_that_kaggle_never_had(
    tmp_path: Path, content: str | bytes, received: str, name: str
) -> None:
    with pytest.raises(UserError, match=rf"not the expected(.|\n)*{received}") as caught:
        read_csv(write(tmp_path / name, content), ["Id", "Target"])
    assert "competition" not in str(caught.value)
    assert "'CSV UTF-8'" in str(caught.value)


def test_a_table_in_another_encoding_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "Id,Target\nZellkörper,1\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"can't decode byte(.|\n)*CSV UTF-8"):
        read_csv(path, ["Id", "Target"])


def test_all_unknown_labels_are_listed_at_once_with_counts(tmp_path: Path) -> None:
    cells = ["Vesicles", "Cytosol;Vesicles (GO:0043231)", "Vesicles;0", "Golgi aparatus", "0 28"]
    lines = [f"i{number},{cell}" for number, cell in enumerate([*cells, "7 7", "Nucleus", "3"])]
    path = write(tmp_path / "own.csv", "\n".join(["Id,Target", *lines]))
    with pytest.raises(UserError) as caught:
        read_labels(read_csv(path, ["Id", "Target"]), path, LABELS, required=False)
    said = str(caught.value)
    assert "2 rows, lines 2, 4: unknown label 'Vesicles'\n" in said  # nothing is near
    assert "line 3, Id 'i1': unknown label 'Vesicles (GO:0043231)'\n" in said
    assert "'Golgi aparatus'; did you mean Golgi apparatus?" in said
    assert "line 6, Id 'i4': unknown label '28'\n" in said
    assert "line 8, Id 'i6': unknown label 'Nucleus'\n" in said  # not: Nucleoli
    assert "line 7, Id 'i5': duplicate label in '7 7'" in said
    assert said.count(": unknown label ") == 5


def test_all_of_a_hundred_unknown_labels_are_listed_but_not_a_thousand(tmp_path: Path) -> None:
    rows = [f"{number},unknown {number}" for number in range(1000)]
    path = write(tmp_path / "own.csv", "\n".join(["Id,Target", *rows[:100]]))
    with pytest.raises(UserError) as caught:
        read_labels(read_csv(path, ["Id", "Target"]), path, LABELS, required=False)
    assert all(
        f"line {number + 2}, Id '{number}': unknown label 'unknown {number}'" in str(caught.value)
        for number in range(100)
    )
    path = write(tmp_path / "own.csv", "\n".join(["Id,Target", *rows]))
    with pytest.raises(UserError, match="… and 500 more"):
        read_labels(read_csv(path, ["Id", "Target"]), path, LABELS, required=False)


def test_both_spellings_of_hpav18_give_the_same_antibodies(real_data: Path) -> None:
    for name in ("hpav18_head.csv", "hpav18_ensembl_head.csv"):
        ids = list(read_csv(real_data / name, ["Id", "Target"])["Id"])
        groups = antibodies(ids)
        assert all(group.isdecimal() for group in groups)
        assert len(set(groups)) < len(ids) / 3
    assert antibodies(["ENSG00000000003_4109_24_H11_1"]) == antibodies(["4109_24_H11_2"])


@pytest.mark.parametrize("image_id", ["12_3", "1_a", "00070df0-bbc3-11e8-b2bc-ac1f6b6435d0"])
def test_an_id_of_another_form_is_no_antibody(image_id: str) -> None:
    assert antibodies([image_id]) == [image_id]


def test_groups_join_images_of_an_antibody_and_never_separate_them() -> None:
    table = pd.DataFrame({"group": ["gene", "", "", "gene", "plate 2", ""]})
    default = ["10580", "10580", "4109", "7", "7", "a"]
    assert list(with_groups(table, default)["group"]) == [
        "plate 2", "plate 2", "4109", "plate 2", "plate 2", "a",
    ]  # fmt: skip
    del table["group"]
    assert list(with_groups(table, default)["group"]) == default
