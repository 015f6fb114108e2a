"""Labels, channels, and parsing of label sets."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.labels import (
    CHANNELS,
    LABELS,
    N_LABELS,
    format_target,
    indicator_matrix,
    parse_target,
    split_labels,
)


def test_there_are_28_labels_and_four_channels() -> None:
    assert N_LABELS == len(set(LABELS)) == 28
    assert (LABELS[0], LABELS[15], LABELS[27]) == (
        "Nucleoplasm",
        "Microtubule ends",
        "Rods & rings",
    )
    assert CHANNELS == ("red", "green", "blue", "yellow")


def test_a_target_is_parsed_into_sorted_numbers() -> None:
    assert parse_target("25 0") == (0, 25)
    assert parse_target("  7\t3 ") == (3, 7)
    assert parse_target("") == ()


def test_formatting_and_parsing_are_inverse() -> None:
    for numbers in combinations(range(N_LABELS), 2):
        assert parse_target(format_target(reversed(numbers))) == numbers


@pytest.mark.parametrize("word", ["28", "-1", "1.0", "Nucleoli", "²", "٣", "9" * 5000])
def test_a_word_that_is_not_a_label_number_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"unknown label|Exceeds the limit"):
        parse_target(f"0 {word}")


def test_a_duplicate_label_is_refused() -> None:
    with pytest.raises(ValueError, match="duplicate label in '3 3'"):
        parse_target("3 3")


def test_the_indicator_matrix_has_one_row_per_image_and_one_column_per_label() -> None:
    y_true = indicator_matrix(["0 2", "", "27"])
    assert y_true.dtype == np.uint8
    assert y_true.shape == (3, 28)
    assert [np.flatnonzero(row).tolist() for row in y_true] == [[0, 2], [], [27]]
    assert indicator_matrix([]).shape == (0, 28)


def test_the_real_table_has_the_published_label_counts(real_data: Path) -> None:
    targets = pd.read_csv(real_data / "train.csv")["Target"]
    support = indicator_matrix(targets).sum(axis=0)
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
    assert split_labels(cell) == (numbers, unknown)
