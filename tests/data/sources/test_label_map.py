"""Maps of names: labels of a table under the names of another vocabulary."""

from pathlib import Path

import pandas as pd
import pytest

from hpa.data.images.csv_tables import read_labels
from hpa.data.sources.fetched_labels import LabelTable, fetched_labels, labels_of_sources
from hpa.data.sources.label_map import PRESET_CSV, MappedLabels, read_map, without_dropped
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import LABELS
from hpa.vocabulary.labels import Label, Labels, plain
from support.worlds import write_csv

ATLAS_TODAY = (
    "Acrosome;Actin filaments;Aggresome;Annulus;Basal body;Calyx;Cell Junctions;"
    "Centriolar satellite;Centrosome;Cleavage furrow;Connecting piece;Cytokinetic bridge;"
    "Cytoplasmic bodies;Cytosol;End piece;Endoplasmic reticulum;Endosomes;Equatorial segment;"
    "Flagellar centriole;Focal adhesion sites;Golgi apparatus;Intermediate filaments;Kinetochore;"
    "Lipid droplets;Lysosomes;Microtubule ends;Microtubules;Mid piece;Midbody;Midbody ring;"
    "Mitochondria;Mitotic chromosome;Mitotic spindle;Nuclear bodies;Nuclear membrane;"
    "Nuclear speckles;Nucleoli;Nucleoli fibrillar center;Nucleoli rim;Nucleoplasm;"
    "Perinuclear theca;Peroxisomes;Plasma membrane;Primary cilium;Primary cilium tip;"
    "Primary cilium transition zone;Principal piece;Rods & Rings;Vesicles"
)


@pytest.fixture(autouse=True)
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder own/labels of a repository in which fetch runs."""
    (tmp_path / "own/labels").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Path("own/labels")


def map_of(*rows: tuple[str, str], name: str = "own/labels/names.csv") -> str:
    write_csv(Path(name), ("from", "to"), rows)
    return name


def table(*cells: str, name: str = "table.csv") -> Path:
    write_csv(Path(name), ("Id", "Target"), [(f"i{n}", cell) for n, cell in enumerate(cells)])
    return Path(name)


def targets(labels: Labels, *cells: str) -> list[str]:
    rows = pd.DataFrame({"line": [str(n) for n in range(len(cells))], "Target": cells})
    return list(read_labels(rows, Path("table.csv"), labels, required=True))


def test_names_are_replaced_dropped_and_united_before_labels_are_looked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stated = map_of(
        ("Vesicles", "Endosomes; lysosomes"), ("midbody  ring", "Cytokinetic bridge"),
        ("Halo", ""), ("Nucleoli fibrillar center", "Nucleoli"), ("Never", "Cytosol"),
    )  # fmt: skip
    cells = ["VESICLES (GO:0043231)|Cytosol", "Midbody Ring, Cytokinetic bridge", "Halo;25", "3 2"]
    cells += ["Halo", "Nucleoli fibrillar center"]
    labels = fetched_labels("hpa2018", table(*cells), stated)
    assert targets(labels, *cells) == ["9 10 25", "16", "25", "2", "", "2"]
    assert capsys.readouterr().out.splitlines() == [
        "table.csv: Halo -> (dropped) (2 rows)",
        "table.csv: Vesicles -> Endosomes; lysosomes (1 rows)",
        "table.csv: midbody ring -> Cytokinetic bridge (1 rows)",
        "table.csv: Nucleoli fibrillar center -> Nucleoli (1 rows)",
        "fetch.label_map: in no row: Never",
    ]


def test_numbers_of_a_table_are_mapped_like_names() -> None:
    labels = fetched_labels(
        "hpa2018", table("1 2"), map_of(("1", "Cytosol"), ("2", "Nucleoli"), ("Cytosol", "Cytosol"))
    )
    assert targets(labels, "1 2", "2;0", "25") == ["2 25", "0 2", "25"]


def test_a_label_twice_in_a_cell_stays_an_error_and_an_empty_cell_too() -> None:
    labels = fetched_labels("hpa2018", table("Cytosol"), map_of(("Juice", "Cytosol")))
    with pytest.raises(UserError, match=r"duplicate label in 'Juice; juice'(.|\n)*no label in ';'"):
        targets(labels, "Juice; juice", ";")
    assert targets(labels, "Juice; Cytosol") == ["25"]


def test_names_that_neither_map_nor_labels_know_are_listed_with_their_count() -> None:
    labels = fetched_labels("hpa2018", table("x"), map_of(("Juice", "Cytosol")))
    with pytest.raises(UserError, match=r"2 rows, lines 0, 2: unknown label 'Halo'(.|\n)*'Nucleoly'"
                                        r"; did you mean Nucleoli"):  # fmt: skip
        targets(labels, "Halo", "Juice; Nucleoly", "Halo;Cytosol")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "Cytosol"), ("A (GO:1)", "Nucleoli")], "2 rows, lines 2, 3: A is mapped more than"),
        ([("a", "b"), ("b", "Cytosol")], "line 2: a becomes b, which line 3 maps further"),
        ([("", "Cytosol"), ("x;y", "Cytosol")], r"2: 0 names in(.|\n)*3: 2 names in column from"),
        ([("a", "Cytosole")], r"csv, line 2: unknown label 'Cytosole'; did you mean Cytosol\?"),
        ([], "0 names"),
    ],
)
def test_a_map_that_cannot_hold_is_refused_with_its_lines(
    rows: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        fetched_labels("hpa2018", table("Cytosol"), map_of(*rows))


def test_a_missing_map_and_one_of_other_columns_are_refused() -> None:
    with pytest.raises(UserError, match=r"nmaes\.csv, which fetch\.label_map names, is missing"):
        fetched_labels("hpa2018", table("Cytosol"), "own/labels/nmaes.csv")
    write_csv(Path("own/labels/a.csv"), ("old", "new"), [("a", "Cytosol")])
    with pytest.raises(UserError, match="missing or duplicate columns from, to"):
        fetched_labels("hpa2018", table("Cytosol"), "own/labels/a.csv")


def test_outside_the_watched_folder_a_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    fetched_labels("hpa2018", table("a"), map_of(("a", "Cytosol"), name="names.csv"))
    assert "names.csv is outside own/labels" in capsys.readouterr().out


def test_the_atlas_of_today_is_read_as_the_28_but_for_vesicles() -> None:
    """The 49 locations of the atlas, and the names and numbers of the Gene Ontology."""
    labels = fetched_labels("hpa2018", table("Cytosol"), "atlas")
    columns, unknown = labels.split(ATLAS_TODAY)
    assert unknown == ["Vesicles"]
    assert set(columns) == set(range(28)) - {LABELS.column("Microtubule organizing center")}
    for name, meant in (
        ("Nucleoli rim", "Nucleoli"), ("Midbody ring", "Cytokinetic bridge"), ("GO:0005739",
        "Mitochondria"), ("fibrillar center (GO:0001650)", "Nucleoli fibrillar center"),
        ("Centriolar satellite", "Centrosome"), ("nuclear speck", "Nuclear speckles"),
    ):  # fmt: skip
        assert labels.split(name) == ((LABELS.column(meant),), [])
    for name in ("Mitotic chromosome", "Kinetochore", "Primary cilium tip", "Acrosome"):
        assert labels.split(name) == ((), [])
    assert all(labels.split(row)[1] == [] for row in read_map("atlas").targets)


def test_vesicles_are_the_user_s_choice_and_the_error_shows_how_to_make_it() -> None:
    labels = fetched_labels("hpa2018", table("Cytosol"), "atlas")
    with pytest.raises(UserError, match=r"'Vesicles'; the atlas means any of(.|\n)*`Vesicles,End"):
        targets(labels, "Vesicles; Cytosol")
    own = map_of(("Vesicles", "Endosomes"), ("Nucleoli rim", "Nucleoplasm"))
    labels = fetched_labels("hpa2018", table("Cytosol"), f"atlas; {own}")
    assert targets(labels, "Vesicles; Nucleoli rim; Midbody") == ["0 9 16"]


def test_a_later_map_goes_on_from_the_names_of_an_earlier_one() -> None:
    coarse = map_of(("Lysosomes", "Vesicles"), ("Endosomes", "Vesicles"), ("Cytosol", ""))
    labels = fetched_labels(
        "from_table", table("lysosome; Cytosol", "Endosomes"), f"atlas;{coarse}"
    )
    assert labels.names == ("Vesicles",)
    assert targets(labels, "lysosome; Cytosol", "GO:0005829") == ["0", ""]


def test_labels_of_one_s_own_that_the_preset_would_map_stay_what_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_csv(Path("own/labels/l.csv"), ("number", "name"), [("1", "Midbody"), ("2", "Nucleoli")])
    labels = fetched_labels("own/labels/l.csv", table("Midbody"), "atlas")
    assert labels.labels == (Label(1, "Midbody"), Label(2, "Nucleoli"))
    assert labels.split("Midbody; Nucleoli rim; Midbody ring") == ((0, 1), ["Midbody ring"])
    assert capsys.readouterr().out == ""


def test_from_table_is_the_union_over_all_sources_after_their_maps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = table("Juice; Nucleus"), table("nucleus", "Halo", name="b.csv")
    one, other = labels_of_sources(
        "from_table",
        [LabelTable(first, map_of(("Juice", "Cytosol"))), LabelTable(second)],
    )
    assert one.names == other.names == ("Cytosol", "Halo", "Nucleus")
    assert (one.split("juice"), other.split("juice")) == (((0,), []), ((), ["juice"]))
    assert "3 labels in table.csv, b.csv:\n    0  Cytosol (1 rows)\n" in capsys.readouterr().out
    with_kaggle = labels_of_sources("from_table", [LabelTable(None), LabelTable(second)])[0]
    assert set(with_kaggle.names) == {*LABELS.names, "Halo", "nucleus"}


def test_rows_of_a_map_that_no_table_needs_are_named_and_refuse_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stated = map_of(("Vesicles", "Endosomes; Lysosomes"), ("Juice", "Cytosol"))
    labels = fetched_labels("from_table", table("Juice", "Nucleus"), stated)
    assert labels.names == ("Cytosol", "Nucleus")
    assert targets(labels, "Juice; Nucleus") == ["0 1"]
    assert "fetch.label_map: in no row: Vesicles" in capsys.readouterr().out


def test_labels_that_lack_one_of_the_competition_s_are_refused_unless_it_is_mapped() -> None:
    names = [name for name in LABELS.names if name not in ("Endosomes", "Lysosomes")]
    rows = [(str(number), name) for number, name in enumerate(names)]
    write_csv(Path("own/labels/l.csv"), ("number", "name"), rows)
    with pytest.raises(UserError, match=r"lacks 2 of the compet(.|\n)*without Endosomes, Lysos"):
        labels_of_sources("own/labels/l.csv", [LabelTable(None)])
    stated = map_of(("Endosomes", ""), ("Lysosomes", "Cytosol"))
    (labels,) = labels_of_sources("own/labels/l.csv", [LabelTable(None, stated)])
    assert isinstance(labels, MappedLabels)


def test_images_whose_labels_are_all_dropped_are_left_out_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = pd.DataFrame({"Id": ["a", "b", "c"], "Target": ["", "1", ""]})
    images["labelled"] = [True, True, False]
    assert list(without_dropped(images, "t.csv")["Id"]) == ["b", "c"]
    said = "t.csv: 1 images are left out, as fetch.label_map drops all of their labels: a\n"
    assert capsys.readouterr().out == said
    with pytest.raises(UserError, match=r"drops all labels of t\.csv"):
        without_dropped(images[images["Id"] != "b"], "t.csv")


def test_the_preset_maps_each_name_once_to_labels_of_the_28() -> None:
    rows = pd.read_csv(PRESET_CSV, dtype=str, keep_default_na=False)
    assert rows["from"].map(plain).is_unique
    assert set(rows["to"]) - {""} <= set(LABELS.names)
