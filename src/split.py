"""Assign each labelled image to train, val or test; no picture and no group is in two of them.

With split.holdout_fraction, a fourth split is reserved: promotion alone judges by it.

python src/split.py            some seconds; prints the images of each label in each split
python src/split.py --n_folds 5        five folds; train.fold selects the one that is val
"""

from dataclasses import asdict

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.record import split_record
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.splits.splitting import (
    shortfalls,
    split_images,
    unequal_shares,
    worst_rates,
    write_split,
)
from hpa.data.splits.training_sources import may_judge, taught


def main() -> None:
    """Split data/packed."""
    params, _ = command_line.parse(command_line.parser(__doc__, "split"))
    index, labels = read_index(PACKED_DIR), read_vocabulary(PACKED_DIR).labels
    split = params.split
    assignment = split_images(index, labels, **asdict(split))
    record = split_record(asdict(split), PACKED_DIR / "index.csv")
    judging = may_judge(index, assignment["group"].to_numpy(), split.train_only)
    counts = write_split(SPLIT_DIR, index, labels, assignment, record, judging)
    print(counts.to_string(index=False))
    if split.train_only:
        print(taught(index, judging, split.train_only))
    for name, (label, error) in worst_rates(counts).items():
        print(f"worst relative error of a label's rate in {name}: {error:+.1%} ({label})")
    for line in shortfalls(index, labels, assignment, judging):
        print(f"{line}: bring more groups that have it")
    for line in unequal_shares(
        assignment[judging],
        test_fraction=split.test_fraction,
        val_fraction=split.val_fraction,
        holdout_fraction=split.holdout_fraction,
        n_folds=split.n_folds,
    ):
        print(line)
    print(assignment["split"].value_counts().to_string())
    print(f"the assignment is in {SPLIT_DIR / 'assignment.csv'}")


if __name__ == "__main__":
    command_line.run(main)
