"""Images are assigned to train, val and test; no group is in two of them."""

import hashlib
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from hpa.data.images.decoding import read_image
from hpa.data.packed.assignment import HOLDOUT, SPLITS, UNLABELLED, of_fold, read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.data.packing import pack
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import (
    label_counts,
    shortfalls,
    split_images,
    unequal_shares,
    worst_rates,
    write_split,
)
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from hpa.vocabulary.labels import Label, Labels
from support.worlds import digests, write_csv, write_image

DEFAULTS: dict[str, Any] = {
    "test_fraction": 0.2, "val_fraction": 0.2, "n_folds": 1, "hash_distance": 6,
    "seed": 11,
}  # fmt: skip


def split(index: pd.DataFrame, fold: int = 0, **changes: Any) -> pd.DataFrame:
    return of_fold(split_images(eight_views(index), LABELS, **{**DEFAULTS, **changes}), fold)


def eight_views(index: pd.DataFrame) -> pd.DataFrame:
    """Repeat the hash of an image that has only one."""
    return index.assign(hash=[" ".join((cell.split() * 8)[:8]) for cell in index["hash"]])


def distinct_hashes(ids: pd.Series) -> list[str]:
    return [hashlib.sha256(image_id.encode()).hexdigest() for image_id in ids]


def random_index(seed: int, n: int = 600, n_unlabelled: int = 20) -> pd.DataFrame:
    """Generate an index with pairs of labels, groups of about three and copies of every fifth."""
    random = np.random.default_rng(seed)
    ids = pd.Series([f"{seed}-{number}" for number in range(n + n_unlabelled)])
    hashes = distinct_hashes(ids)
    for row in range(4, len(ids), 5):
        near = int(hashes[row - 3], 16) ^ (1 << int(random.integers(256)))
        hashes[row] = f"{near:064x}"
    targets = [
        LABELS.format(set(random.choice(28, 2, p=np.arange(28, 0, -1) / 406).tolist()))
        for _ in range(n)
    ]
    return pd.DataFrame(
        {
            "Id": ids,
            "Target": targets + [""] * n_unlabelled,
            "group": random.integers(0, len(ids) // 3, len(ids)).astype(str),
            "labelled": [True] * n + [False] * n_unlabelled,
            "hash": hashes,
        }
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("folds", [{}, {"n_folds": 4, "fold": 2}])
def test_no_group_and_no_picture_is_in_two_splits(seed: int, folds: dict[str, int]) -> None:
    index = random_index(seed)
    assignment = split(index, seed=seed, **folds)
    labelled = assignment[assignment["split"] != UNLABELLED]
    stated, picture = index["group"], duplicate_groups(list(index["hash"]), 6)
    for key in (labelled["group"], stated[labelled.index], picture[labelled.index]):
        assert (labelled["split"].groupby(key).nunique() == 1).all()
    assert stated.duplicated().any()
    assert len(set(picture)) < len(index)


def test_a_chain_of_stated_groups_and_copies_is_one_group() -> None:
    index = random_index(0, n=30, n_unlabelled=0)
    index["hash"], index["group"] = distinct_hashes(index["Id"]), index["Id"]
    index.loc[1, "group"] = index.loc[0, "group"]  # 0 and 1: one antibody
    index.loc[2, "hash"] = index.loc[1, "hash"]  # 1 and 2: one picture
    index.loc[3, "group"] = index.loc[2, "group"]  # 2 and 3: one antibody
    group = split(index)["group"]
    assert len(set(group[:4])) == 1
    assert len(set(group)) == 27


def test_a_seed_gives_the_same_split_and_another_seed_another() -> None:
    index = random_index(0)
    assert split(index).equals(split(index))
    assert not split(index).equals(split(index, seed=12))
    assert not split(index, seed=2**32 - 1).equals(split(index, seed=0))


def test_folds_divide_the_images_outside_test_and_test_is_the_same_for_all() -> None:
    index = random_index(0)
    folds = [split(index, n_folds=5, fold=fold)["split"] for fold in range(5)]
    test = split(index)["split"] == "test"
    assert all(((fold == "test") == test).all() for fold in folds)
    times_val = sum((fold == "val").astype(int) for fold in folds)
    assert (times_val == (index["labelled"] & ~test)).all()


def test_a_holdout_leaves_test_as_it_is_and_is_the_same_for_all_folds() -> None:
    index = random_index(0, n=2000)
    without = split(index)["split"]
    held_out = [
        split(index, holdout_fraction=0.1, **folds)["split"]
        for folds in ({}, {"n_folds": 3, "fold": 0}, {"n_folds": 3, "fold": 2})
    ]
    for found in held_out:
        assert ((found == "test") == (without == "test")).all()
        assert ((found == HOLDOUT) == (held_out[0] == HOLDOUT)).all()
        assert set(found) == {*SPLITS, HOLDOUT, UNLABELLED}
    assert (held_out[0] == HOLDOUT).sum() == pytest.approx(200, abs=40)
    assert (held_out[0] == "val").sum() == pytest.approx(400, abs=60)
    assert HOLDOUT not in set(without)
    counts = label_counts(index, LABELS, split(index, holdout_fraction=0.1))
    assert "holdout" in counts
    assert "holdout" not in label_counts(index, LABELS, split(index))


@pytest.mark.parametrize("seed", range(10))
def test_a_label_of_three_groups_is_in_train_val_and_test(seed: int) -> None:
    """Generate an index whose rarest label has three groups of one image each."""
    index = random_index(seed)
    carriers = index.index[index["labelled"]][[10, 200, 400]]
    index["Target"] = [" ".join(set(cell.split()) - {"27"}) or "0" for cell in index["Target"]]
    index.loc[~index["labelled"], "Target"] = ""
    index.loc[carriers, "Target"] = "27"
    index.loc[carriers, "group"] = ["rare-1", "rare-2", "rare-3"]
    index.loc[carriers, "hash"] = distinct_hashes(index["Id"][carriers])
    for folds in ({}, {"holdout_fraction": 0.1}):
        assignment = split(index, seed=seed, **folds)
        counts = label_counts(index, LABELS, assignment).set_index("label")
        assert (counts.loc["Rods & rings", list(SPLITS)] == 1).all()
        y_true = pd.DataFrame(LABELS.indicators(index["Target"])).groupby(assignment["group"]).max()
        frequent = (y_true.sum() >= 3).to_numpy()
        assert frequent.sum() > 15
        assert (counts.loc[frequent, list(SPLITS)] > 0).all(axis=None)


def crowded_index(seed: int, n_groups: int) -> pd.DataFrame:
    """Generate labels of three groups each, for which a hidden assignment covers all."""
    random = np.random.default_rng(seed)
    side = np.arange(n_groups) % 3
    label_sets: list[set[int]] = [set() for _ in range(n_groups)]
    for label in range(28):
        for number in range(3):
            label_sets[random.choice(np.flatnonzero(side == number))].add(label)
    targets = [LABELS.format(each) for each in label_sets if each]
    ids = pd.Series([f"{seed}-{number}" for number in range(len(targets))])
    return pd.DataFrame(
        {"Id": ids, "Target": targets, "group": ids, "labelled": True,
         "hash": distinct_hashes(ids)}
    )  # fmt: skip


@pytest.mark.parametrize("n_groups", [10, 15, 25, 40])
def test_all_labels_of_few_groups_are_in_train_val_and_test(n_groups: int) -> None:
    for seed in range(6):
        index = crowded_index(seed, n_groups)
        assignment = split(index, seed=seed)
        counts = label_counts(index, LABELS, assignment)[list(SPLITS)]
        assert (counts == 1).all(axis=None)
        assert shortfalls(index, LABELS, assignment) == []
        test = assignment["split"] == "test"
        for other in ({"val_fraction": 0.4}, {"n_folds": 2}, {"holdout_fraction": 0.1}):
            try:
                again = split(index, seed=seed, **other)
            except UserError as error:
                assert "the holdout split is empty" in str(error)  # noqa: PT017
                continue
            assert ((again["split"] == "test") == test).all()
            assert shortfalls(index, LABELS, again) == []


@pytest.mark.parametrize("n_folds", [1, 3])
def test_a_label_missing_in_a_split_is_reported(n_folds: int) -> None:
    index = random_index(5)
    frequent = set(map(str, range(20)))
    index["Target"] = [" ".join(set(cell.split()) & frequent) for cell in index["Target"]]
    index.loc[index["labelled"] & (index["Target"] == ""), "Target"] = "0"
    index.loc[3, "Target"] = "27"
    lines = shortfalls(
        index, LABELS, split_images(eight_views(index), LABELS, **{**DEFAULTS, "n_folds": n_folds})
    )
    assert len(lines) == {1: 2, 3: 4}[n_folds]  # it is in one of three splits, or of seven
    assert all(re.fullmatch(r"no image of .* has Rods & rings \(groups: 1\)", x) for x in lines)
    folds = {line.partition(" has")[0] for line in lines if "fold" in line}
    assert len(folds) == {1: 0, 3: 3}[n_folds]


def grouped_index(sizes: list[int], targets: list[str] | None = None) -> pd.DataFrame:
    """Generate groups of given sizes; their images have label 0, or the target of the group."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    ids = pd.Series([f"image-{number}" for number in range(len(group))])
    return pd.DataFrame(
        {"Id": ids, "Target": [targets[each] if targets else "0" for each in group],
         "group": group.astype(str), "labelled": True, "hash": distinct_hashes(ids)}
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("sizes", "targets", "expected"),
    [
        ([100, 5, 5], None, [100, 5, 5]),  # wanted: 71.5, 22, 16.5
        ([100] + [10] * 4, None, [100, 20, 20]),  # 91, 28, 21
        ([50] + [1] * 10, None, [50, 1, 9]),  # 39, 12, 9: test does not look at what val wants
        ([100, 50, 50], None, [100, 50, 50]),
        ([4, 3, 3], None, [4, 3, 3]),
        ([1] * 56, [str(number // 2) for number in range(56)], [28, 20, 8]),  # 36.4, 11.2, 8.4
        ([1] * 20, [str(number) for number in range(20)], [13, 4, 3]),
        ([28] * 5, [str(number) for number in range(5)], [84, 28, 28]),  # 91, 28, 21
    ],
)
def test_the_shares_of_few_or_unequal_groups_are_as_near_as_possible(
    sizes: list[int], targets: list[str] | None, expected: list[int], seed: int
) -> None:
    """Each of 28 labels has two images and at most one in test: val takes from the others."""
    index = grouped_index(sizes, targets)
    found = split(index, test_fraction=0.15, val_fraction=0.2, seed=seed)["split"]
    assert [(found == name).sum() for name in SPLITS] == expected


@pytest.mark.parametrize("seed", range(6))
def test_folds_of_unequal_groups_have_about_equally_many_images(seed: int) -> None:
    """Most images are in few of eighty groups."""
    random = np.random.default_rng(seed)
    sizes = np.minimum(3 * random.pareto(1.2, 80) + 2, 60).astype(int).tolist()
    targets = [str(label) for label in random.integers(0, 6, len(sizes))]
    assignment = split_images(
        eight_views(grouped_index(sizes, targets)),
        LABELS,
        **{**DEFAULTS, "n_folds": 5, "seed": seed},
    )
    n_images = assignment["fold"][assignment["fold"] >= 0].value_counts()
    assert n_images.max() < 1.25 * n_images.min()


def test_shares_far_from_those_requested_are_reported() -> None:
    fractions = {"test_fraction": 0.15, "val_fraction": 0.2}
    assignment = pd.DataFrame({"group": [0] * 100 + [1] * 5 + [2] * 5})
    assignment["split"] = ["test"] * 100 + ["val"] * 5 + ["train"] * 5
    one_group = "one group holds 91%, and groups stay whole"
    assert unequal_shares(assignment, **fractions) == [
        f"test has 100 of 110 images instead of 15%: {one_group}",
        f"val has 5 of 110 images instead of 20%: {one_group}",
        f"train has 5 of 110 images instead of 65%: {one_group}",
    ]
    assignment["fold"] = [-1] * 100 + [0] * 5 + [1] * 5
    lines = unequal_shares(assignment, **fractions, n_folds=2)
    assert [line.partition(" of ")[0] for line in lines] == [
        "test has 100", "fold 0 has 5", "fold 1 has 5",
    ]  # fmt: skip


def test_shares_that_labels_prevent_are_reported_and_near_ones_are_not() -> None:
    """Each of 20 labels has three images, one per split; then one label has all images."""
    index = grouped_index([1] * 60, [str(number // 3) for number in range(60)])
    fractions = {"test_fraction": 0.15, "val_fraction": 0.2}
    why = "groups stay whole, and each split needs each label"
    assert unequal_shares(split(index, **fractions), **fractions) == [
        f"test has 20 of 60 images instead of 15%: {why}",
        f"val has 20 of 60 images instead of 20%: {why}",
        f"train has 20 of 60 images instead of 65%: {why}",
    ]
    index = grouped_index([1] * 100)
    assert unequal_shares(split(index, **fractions), **fractions) == []
    folds = split_images(eight_views(index), LABELS, **{**DEFAULTS, **fractions, "n_folds": 4})
    assert unequal_shares(folds, **fractions, n_folds=4) == []


def test_a_missing_split_names_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split(.|\n)*assignment\.csv(.|\n)*dvc repro split"):
        read_assignment(tmp_path)


def test_the_worst_label_rate_of_each_split_is_reported() -> None:
    index = random_index(3)
    counts = label_counts(index, LABELS, split(index))
    labelled = counts[list(SPLITS)].sum(axis=1)
    assignment = split(index)["split"]
    worst = worst_rates(counts)
    assert list(worst) == list(SPLITS)
    for name in SPLITS:
        rate = counts[name] / (assignment == name).sum()
        error = rate / (labelled / index["labelled"].sum()) - 1
        assert np.allclose(counts[f"{name}_error"], error, atol=1e-4)
        assert abs(worst[name][1]) == pytest.approx(error.abs().max(), abs=1e-4)


def test_unlabelled_images_do_not_influence_the_split() -> None:
    index = random_index(0)
    assignment = split(index)
    assert ((assignment["split"] == UNLABELLED) == ~index["labelled"]).all()
    index.loc[~index["labelled"], "hash"] = distinct_hashes("new" + index["Id"][~index["labelled"]])
    index.loc[~index["labelled"], "group"] = index["Id"][~index["labelled"]]
    with_them, without = split(index), split(index[index["labelled"]])
    assert list(without["split"]) == list(with_them["split"][index["labelled"]])


@pytest.mark.parametrize(("test_fraction", "val_fraction"), [(0.2, 0.2), (0.1, 0.3), (0.5, 0.25)])
def test_fractions_and_label_rates_are_close(test_fraction: float, val_fraction: float) -> None:
    index = random_index(1, n=3000)
    index["group"], index["hash"] = index["Id"], distinct_hashes(index["Id"])
    assignment = split(index, test_fraction=test_fraction, val_fraction=val_fraction)
    counts = label_counts(index, LABELS, assignment)
    share = counts[list(SPLITS)].div(counts[list(SPLITS)].sum(axis=1), axis=0)
    expected = {"test": test_fraction, "val": val_fraction}
    for name, fraction in expected.items():
        assert (assignment["split"] == name).sum() / 3000 == pytest.approx(fraction, abs=0.02)
        assert (share[name] - fraction).abs().max() < 0.06  # of some ten images of the rarest


def test_the_order_of_the_index_is_kept_and_read_back(tmp_path: Path) -> None:
    index = random_index(2)
    assignment = split(index)
    counts = write_split(tmp_path / "split", index, LABELS, assignment)
    again = read_assignment(tmp_path / "split")
    assert list(again["Id"]) == list(index["Id"])
    assert again.to_dict("list") == assignment.to_dict("list")
    assert pd.read_csv(tmp_path / "split" / "label_counts.csv").equals(counts)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("full", r"disk is full(.|\n)*errno 28"), ("ro", r"not be written(.|\n)*Read-only")],
)
def test_a_failed_write_keeps_the_previous_split(small_disk: Path, fault: str, said: str) -> None:
    index = random_index(2)
    write_split(small_disk / "split", index, LABELS, split(index))
    before = digests(small_disk / "split")
    if fault == "full":
        free = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(bytes(free - 8192))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=said):
        write_split(small_disk / "split", index, LABELS, split(index, seed=12))
    assert digests(small_disk / "split") == before
    assert {path.name for path in small_disk.iterdir()} <= {"split", "filler"}


def test_numeric_ids_stay_strings(tmp_path: Path) -> None:
    index = random_index(2, n=40)
    index["Id"] = [f"{number:05d}" for number in range(len(index))]
    write_split(tmp_path / "split", index, LABELS, split(index))
    assert list(read_assignment(tmp_path / "split")["Id"]) == list(index["Id"])


def test_label_counts_add_up_to_the_table() -> None:
    index = random_index(3)
    counts = label_counts(index, LABELS, split(index))
    assert tuple(counts["label"]) == LABELS.names
    support = LABELS.indicators(index["Target"]).sum(axis=0)
    assert (counts[list(SPLITS)].sum(axis=1) == support).all()


@pytest.mark.parametrize("n", range(1, 16))
@pytest.mark.parametrize("folds", [{}, {"n_folds": 3, "fold": 2}])
def test_a_tiny_set_is_split_or_refused_clearly(n: int, folds: dict[str, int]) -> None:
    index = random_index(4, n=n, n_unlabelled=2)
    try:
        found = set(split(index, **folds)["split"])
    except UserError as error:
        assert "bring more images" in str(error)  # noqa: PT017
        return
    assert found == {*SPLITS, UNLABELLED}


def test_copies_of_one_picture_cannot_be_split() -> None:
    index = random_index(4, n=20).assign(hash="0" * 64)
    with pytest.raises(UserError, match=r"cannot be split(.|\n)*received:   1 labelled group"):
        split(index)


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(UserError, match=r"cannot be split(.|\n)*received:   \d labelled group"):
        split(random_index(4, n=12), n_folds=50)


def test_the_tiny_world_is_split(packed_world: Path) -> None:
    assignment = split(read_index(packed_world))
    assert set(assignment["split"]) == {*SPLITS, UNLABELLED}
    assert assignment["group"].nunique() == 41  # 44 images, three of them copies


def test_an_index_with_one_hash_per_image_is_refused(packed_world: Path) -> None:
    """Earlier versions wrote it; turned copies would pass unnoticed into two splits."""
    index = read_index(packed_world)
    index["hash"] = index["hash"].str.split().str[0]
    with pytest.raises(UserError, match=r"8 views(.|\n)*1 per image(.|\n)*dvc repro pack"):
        split_images(index, LABELS, **DEFAULTS)


def test_turned_copies_of_real_images_share_a_split(real_data: Path, tmp_path: Path) -> None:
    """Each of eight images eight times: as it is, turned and mirrored, saved as new files."""
    ids = pd.read_csv(real_data / "sample48/train.csv")["Id"][:8]
    rows = []
    for image_id in ids:
        pixels = read_image(real_data / "sample48/train", image_id, CHANNELS.names, 256)
        for turn in range(8):
            view = np.rot90(pixels, turn % 4)
            view = view[:, ::-1] if turn > 3 else view
            write_image(tmp_path / "raw/train", f"{image_id}-{turn}", np.ascontiguousarray(view))
            rows.append((f"{image_id}-{turn}", str(len(rows) // 8)))
    write_csv(tmp_path / "raw/train.csv", ("Id", "Target"), rows)
    pack(tmp_path / "raw", tmp_path / "packed", image_size=96, shard_rows=64, n_jobs=1)
    group = split(read_index(tmp_path / "packed"))["group"].to_numpy().reshape(8, 8)
    assert (group == group[:, :1]).all()
    assert len(set(group[:, 0])) == 8


def test_the_real_sample_is_split(real_data: Path, tmp_path: Path) -> None:
    pack(real_data / "sample48", tmp_path / "packed", image_size=64, shard_rows=48, n_jobs=1)
    assignment = split(read_index(tmp_path / "packed"))
    assert set(assignment["split"]) == set(SPLITS)


def real_index(real_data: Path) -> pd.DataFrame:
    """The competition's table, with a hash that makes every twentieth image a copy of another."""
    table = pd.read_csv(real_data / "train.csv")
    hashes = distinct_hashes(table["Id"])
    for row in range(0, len(hashes), 20):
        hashes[row] = f"{int(hashes[(7 * row + 1) % len(hashes)], 16) ^ 1:064x}"
    return table.assign(group=table["Id"], labelled=True, hash=hashes)


@pytest.mark.parametrize("folds", [{}, {"n_folds": 5, "fold": 4}])
def test_the_real_table_is_split_by_groups(real_data: Path, folds: dict[str, int]) -> None:
    index = real_index(real_data)
    assignment = split(index, **folds)
    assert (assignment["split"].groupby(assignment["group"]).nunique() == 1).all()
    assert assignment["group"].nunique() < len(index) - 1000
    counts = label_counts(index, LABELS, assignment).set_index("label")
    share = counts["test"] / counts[list(SPLITS)].sum(axis=1)
    assert share.between(0.15, 0.27).all()  # 11 images of the rarest: 3 of 11 is 0.27


def test_real_label_rates_are_as_accurate_as_without_groups(
    real_data: Path,
) -> None:
    """The reference is the library's shuffle split of single images, ignoring copies."""
    index = real_index(real_data)
    counts = label_counts(index, LABELS, split(index, test_fraction=0.15, val_fraction=0.15))
    assert (counts[list(SPLITS)] > 0).all(axis=None)
    y_true = LABELS.indicators(index["Target"])
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=0.15, random_state=11)
    _, taken = next(splitter.split(y_true, y_true))
    theirs = np.abs(y_true[taken].mean(axis=0) / y_true.mean(axis=0) - 1)
    for name in ("val", "test"):
        ours = counts[f"{name}_error"].abs()
        assert ours.mean() <= theirs.mean()
        assert ours.max() <= theirs.max() + 0.01  # 2 of 11 images: .2121 of 4,661, .2071 of 4,680


@pytest.mark.parametrize("n_folds", [1, 3])
def test_one_label_alone_is_stratified(n_folds: int) -> None:
    """A third of 90 images has it: 6 of 18 in test, 6 of 18 in val; or 8 of 24 in each fold."""
    ids = pd.Series([f"i{number}" for number in range(90)])
    index = pd.DataFrame({"Id": ids, "group": ids, "hash": distinct_hashes(ids)})
    index = index.assign(Target=["7" if number % 3 == 0 else "" for number in range(90)])
    index["labelled"] = True
    labels = Labels((Label(7, "Axoneme"),))
    assignment = split_images(eight_views(index), labels, **{**DEFAULTS, "n_folds": n_folds})
    counts = label_counts(index, labels, assignment)
    assert list(counts["label"]) == ["Axoneme"]
    assert counts[list(SPLITS)].values.tolist() == [[18, 6, 6] if n_folds == 1 else [16, 8, 6]]
    assert shortfalls(index, labels, assignment) == []


@pytest.mark.parametrize("per_group", [1, 5])
def test_300_rare_labels_are_split_in_seconds(per_group: int) -> None:
    """Each image has three labels of 300, with frequencies as 1 over rank."""
    random = np.random.default_rng(0)
    labels = Labels.named([f"Part no {number}" for number in range(300)])
    share = 1 / np.arange(1, 301) / (1 / np.arange(1, 301)).sum()
    ids = pd.Series([f"i{number}" for number in range(1200)])
    targets = [labels.format(random.choice(300, 3, replace=False, p=share)) for _ in ids]
    groups = [str(number // per_group) for number in range(1200)]
    index = pd.DataFrame({"Id": ids, "Target": targets, "group": groups, "labelled": True})
    index = eight_views(index.assign(hash=distinct_hashes(ids)))
    started = time.process_time()
    assignment = split_images(index, labels, **DEFAULTS)
    assert time.process_time() - started < 20
    counts = label_counts(index, labels, assignment).set_index("label")
    y_true = pd.DataFrame(labels.indicators(index["Target"]), columns=labels.names)
    frequent = y_true.groupby(assignment["group"]).any().sum() >= 3
    empty = (counts.loc[frequent, list(SPLITS)] == 0).sum().sum()
    assert empty <= 0.05 * 3 * frequent.sum()
