"""Sources that only train: never in val, test or holdout, and no group or copy is separated."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.assignment import HOLDOUT, UNLABELLED, of_fold
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import label_counts, shortfalls, split_images, unequal_shares
from hpa.data.splits.training_sources import may_judge, taught
from hpa.errors import UserError
from hpa.vocabulary.labels import Labels

LABELS = Labels.named([f"Part {number}" for number in range(6)])
FRACTIONS = {"test_fraction": 0.2, "val_fraction": 0.2}
OPTIONS: dict[str, Any] = {**FRACTIONS, "n_folds": 1, "hash_distance": 6, "seed": 3}


def random_index(seed: int, n: int = 240) -> pd.DataFrame:
    """Generate images of four sources, with groups and copies within and across them."""
    random = np.random.default_rng(seed)
    hashes = [hashlib.sha256(f"{seed} {row}".encode()).hexdigest() for row in range(n)]
    for _ in range(n // 12):
        copied, original = random.choice(n, 2, replace=False)
        hashes[copied] = f"{int(hashes[original], 16) ^ (1 << int(random.integers(256))):064x}"
    labelled = random.random(n) < 0.9
    targets = [LABELS.format(set(random.choice(6, 2).tolist())) for _ in range(n)]
    return pd.DataFrame(
        {
            "Id": [f"i{row}" for row in range(n)],
            "Target": np.where(labelled, targets, ""),
            "group": random.integers(0, n // 2, n).astype(str),
            "labelled": labelled,
            "source": random.choice(["atlas", "plate7", "plate8", ""], n),
            "hash": [" ".join([each] * 8) for each in hashes],
        }
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("change", [{}, {"n_folds": 3}, {"holdout_fraction": 0.1}])
def test_a_source_that_only_trains_is_in_train_with_its_groups_and_copies(
    seed: int, change: dict[str, Any]
) -> None:
    index = random_index(seed)
    table = split_images(index, LABELS, **OPTIONS | change, train_only="atlas plate8")
    labelled = index["labelled"].to_numpy()
    teaches = index["source"].isin(["atlas", "plate8"]).to_numpy() & labelled
    pictures = duplicate_groups(list(index["hash"]), 6)
    for fold in range(change.get("n_folds", 1)):
        split = of_fold(table, fold)["split"]
        assert set(split[teaches]) == {"train"}
        assert set(split[~labelled]) == {UNLABELLED}
        assert {"val", "test"} <= set(split)
        assert (HOLDOUT in set(split)) == ("holdout_fraction" in change)
        for key in (index["group"].to_numpy(), pictures, table["group"].to_numpy()):
            assert (split[labelled].groupby(key[labelled]).nunique() == 1).all()
    judging = may_judge(index, table["group"].to_numpy(), "atlas plate8")
    judges = judging & labelled
    assert 20 < judges.sum() < (~teaches & labelled).sum()  # groups and copies are drawn along
    assert unequal_shares(table[judges], **FRACTIONS | change) == []
    counts = label_counts(index, LABELS, table, judging)
    errors = [each for each in counts if each.endswith("_error")]
    assert counts[errors].equals(label_counts(index[judges], LABELS, table[judges])[errors])
    assert counts["train"].equals(label_counts(index, LABELS, table)["train"])
    elsewhere = of_fold(table, 0)["split"][judges].value_counts()
    if not change:
        assert abs(elsewhere["test"] / judges.sum() - 0.2) < 0.07


def test_no_source_that_only_trains_leaves_the_split_as_it_was() -> None:
    """The assignment is that of the index without sources."""
    index = random_index(1)
    without = split_images(index.drop(columns="source"), LABELS, **OPTIONS)
    for nothing in (None, "", " "):
        assert split_images(index, LABELS, **OPTIONS, train_only=nothing).equals(without)


def test_an_unlabelled_image_of_a_source_that_only_trains_teaches_nothing() -> None:
    index = pd.DataFrame({"source": ["atlas", "atlas", "mine", "mine"]})
    index["labelled"] = [True, False, True, True]
    judging = may_judge(index, np.array([0, 1, 1, 0]), "atlas")
    assert judging.tolist() == [False, True, True, False]
    said = "1 images of atlas only train, and 1 of other sources, which are in their groups"
    assert taught(index, judging, "atlas").startswith(said)


@pytest.mark.parametrize(
    ("sources", "named", "said"),
    [
        (["atlas", "mine"], "atals", r"occur: atlas, mine\n.*atals; did you mean atlas\?"),
        (["atlas", "mine"], "mine atlas", r"leaves no source for val and test(.|\n)*atlas, mine"),
        (["atlas", "atlas"], "atlas", "leaves no source"),
        (["", ""], "atlas", r"the images state none(.|\n)*split\.train_only to null"),
        (None, "atlas", "the images state none"),
    ],
)
def test_names_that_leave_nothing_to_do_are_refused(
    sources: list[str] | None, named: str, said: str
) -> None:
    index = pd.DataFrame({"labelled": [True, True]})
    if sources:
        index["source"] = sources
    with pytest.raises(UserError, match=said):
        may_judge(index, np.array([0, 1]), named)


def test_names_with_spaces_are_separated_by_semicolons() -> None:
    index = pd.DataFrame({"source": ["plate 7", "plate 8", "mine"], "labelled": True})
    assert may_judge(index, np.arange(3), "plate 7; plate 8").tolist() == [False, False, True]


def test_a_label_that_only_a_training_source_has_is_missing_in_test_and_counts_no_group() -> None:
    index = random_index(2)
    index["Target"] = (
        index["Target"]
        .str.replace("5", "0")
        .map(lambda cell: LABELS.format({int(each) for each in cell.split()}))
    )
    row = index.index[(index["source"] == "atlas") & index["labelled"]][0]
    index.loc[row, "Target"] = "5"
    table = split_images(index, LABELS, **OPTIONS, train_only="atlas")
    judging = may_judge(index, table["group"].to_numpy(), "atlas")
    assert shortfalls(index, LABELS, table, judging) == [
        "no image of test has Part 5 (groups: 0)",
        "no image of val has Part 5 (groups: 0)",
    ]


def test_a_source_of_copies_alone_cannot_judge() -> None:
    index = pd.DataFrame({"source": ["a", "b"], "labelled": True})
    with pytest.raises(UserError, match=r"leaves no image for val and test(.|\n)*copies"):
        may_judge(index, np.array([4, 4]), "a")
