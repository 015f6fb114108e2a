"""Labels: parsing of label sets, of values by label, and rejection of malformed lists."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from hpa.vocabulary.labels import Label, Labels, label_values


def test_the_preset_has_28_labels_and_four_channels() -> None:
    assert len(LABELS) == len(set(LABELS.names)) == 28
    assert [LABELS.names[k] for k in (0, 15, 27)] == [
        "Nucleoplasm",
        "Microtubule ends",
        "Rods & rings",
    ]
    assert CHANNELS.names == ("red", "green", "blue", "yellow")
    assert (CHANNELS.protein, CHANNELS.nucleus) == (1, 2)


def test_a_target_is_parsed_into_sorted_numbers() -> None:
    assert LABELS.parse("25 0") == (0, 25)
    assert LABELS.parse("  7\t3 ") == (3, 7)
    assert LABELS.parse("") == ()


def test_formatting_and_parsing_are_inverse() -> None:
    for numbers in combinations(range(len(LABELS)), 2):
        assert LABELS.parse(LABELS.format(reversed(numbers))) == numbers


@pytest.mark.parametrize("word", ["28", "-1", "1.0", "Nucleoli", "²", "٣", "9" * 5000])
def test_a_word_that_is_not_a_label_number_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"unknown label|Exceeds the limit"):
        LABELS.parse(f"0 {word}")


def test_a_duplicate_label_is_refused() -> None:
    with pytest.raises(ValueError, match="duplicate label in '3 3'"):
        LABELS.parse("3 3")


def test_the_indicator_matrix_has_one_row_per_image_and_one_column_per_label() -> None:
    y_true = LABELS.indicators(["0 2", "", "27"])
    assert y_true.dtype == np.uint8
    assert y_true.shape == (3, 28)
    assert [np.flatnonzero(row).tolist() for row in y_true] == [[0, 2], [], [27]]
    assert LABELS.indicators([]).shape == (0, 28)


def test_the_real_table_has_the_published_label_counts(real_data: Path) -> None:
    targets = pd.read_csv(real_data / "train.csv")["Target"]
    support = LABELS.indicators(targets).sum(axis=0)
    assert support[[0, 8, 10, 15, 25, 27]].tolist() == [12885, 53, 28, 21, 8228, 11]


@pytest.mark.parametrize(
    ("cell", "numbers", "unknown"),
    [
        ("", (), []),
        (" ; ", (), []),
        ("25 0", (0, 25), []),
        ("25,0|7;3", (0, 3, 7, 25), []),
        ("7.0", (7,), []),  # as pandas writes a column of whole numbers with gaps
        ("cytosol;NUCLEOPLASM", (0, 25), []),
        ("Nucleoplasm (GO:0005654);Cytosol(GO:0005829)", (0, 25), []),
        ("Nucleoli fibrillar center Nucleoli  Rods & rings", (2, 3, 27), []),
        ("0 Cytosol", (0, 25), []),
        ("Nuclear\u00a0membrane; Nucleoplasm\u00a0(GO:0005654)\n7", (0, 1, 7), []),
        ("3 3", (3, 3), []),
        ("28 -1 7.5 007", (), ["28", "-1", "7.5", "007"]),
        ("²;٣", (), ["²", "٣"]),
        ("Cytosol;Vesicles (GO:0043231), Nucleus", (25,), ["Vesicles (GO:0043231)", "Nucleus"]),
        ("Nucleolis", (), ["Nucleolis"]),
    ],
)
def test_a_cell_is_split_into_known_labels_and_unknown_words(
    cell: str, numbers: tuple[int, ...], unknown: list[str]
) -> None:
    assert LABELS.split(cell) == (numbers, unknown)


def test_numbers_may_have_gaps_and_columns_follow_their_order() -> None:
    labels = Labels((Label(3, "Rim"), Label(10, "Rod 2"), Label(40, "Rod")))
    assert labels.parse("40 3") == (0, 2)
    assert labels.format([2, 0]) == "3 40"
    assert labels.split("rod 2; ROD|3") == ((0, 1, 2), [])
    assert labels.indicators(["10"]).tolist() == [[0, 1, 0]]
    with pytest.raises(ValueError, match="expected the label numbers 3, 10, 40"):
        labels.parse("0")


def test_accents_match_however_they_are_encoded() -> None:
    labels = Labels.named(["r\u00e9ticulum", "\u00b5-tubule"])
    assert labels.split("Re\u0301ticulum; \u03bc-tubule") == ((0, 1), [])


def test_values_are_stated_by_number_or_name() -> None:
    labels = Labels.named(["Vertex 2", "Golgi apparatus", "Axoneme x"])
    assert labels.values("0x4; golgi apparatus x .5", 1).tolist() == [4, 0.5, 1]
    assert labels.values("Vertex 2 x3 Axoneme x x2", 1).tolist() == [3, 1, 2]
    with pytest.raises(ValueError, match="unknown labels '7', 'Nucleoli'"):
        labels.values("7x2; Nucleoli x3", 1)
    with pytest.raises(ValueError, match="a label twice"):
        labels.values("0x2; Vertex 2 x3", 1)


@pytest.mark.parametrize("text", ["7", "x2", "7x", "7x2 8", "7x2;;8x1", "7x2 7x3", "7xtwo"])
def test_malformed_values_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        label_values(text)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([], "0 labels, expected 1 to 500"),
        ([Label(n, f"label {n}") for n in range(501)], "501 labels"),
        ([Label(0, "Rim"), Label(0, "Rod")], "the number 0 is given 2 times: 'Rim', 'Rod'"),
        ([Label(0, "Rim"), Label(1, "RIM")], "the name 'rim' is given 2 times: 'Rim', 'RIM'"),
        ([Label(0, "a;b"), Label(1, ""), Label(2, "12")], "'a;b' is not.*'' is not.*'12' is not"),
        ([Label(-1, "Rim")], "number -1, expected 0 to 999999"),
        ([Label(0, "Rim", color="reddish")], "color 'reddish', expected #rrggbb"),
        ([Label(1, "Rim"), Label(0, "Rod")], "numbers must ascend"),
    ],
)
def test_malformed_labels_are_refused(labels: list[Label], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Labels(tuple(labels))


def test_a_difference_names_what_is_absent_and_what_is_added() -> None:
    ours, theirs = Labels.named(["Rim", "Rod", "Spot"]), Labels.named(["Rim", "Spot", "Dot"])
    assert ours.difference(ours) == ""
    assert ours.difference(theirs) == "without 1: Rod; in addition 1: Dot"
    assert Labels.named(["A", "B"]).difference(Labels.named(["B", "A"])) == (
        "the same labels in another order"
    )


def test_documents_of_labels_are_read_back_and_lists_of_names_of_earlier_versions_too() -> None:
    labels = Labels((Label(2, "Rim", "the edge", "#00ff00"), Label(5, "Rod")))
    assert Labels.from_json(labels.to_json()) == labels
    assert Labels.from_json(["Rim", "Rod"]) == Labels.named(["Rim", "Rod"])
    with pytest.raises(ValueError, match="not a list of labels"):
        Labels.from_json([{"name": "Rim", "size": 3}])


def test_names_that_differ_only_in_case_are_one_in_any_script() -> None:
    labels = Labels.named(["Fuß", "µ-tubule", "Ζωή"])
    assert labels.split("FUSS; μ-TUBULE|ζωή") == ((0, 1, 2), [])
    assert labels.split("Fuss") == ((0,), [])
