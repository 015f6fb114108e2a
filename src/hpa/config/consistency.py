"""Rules across keys: values that are each allowed but contradict each other."""

from hpa.config.sections import Fetch, Loss, Split, Train


def contradictions(fetch: Fetch, split: Split, loss: Loss, train: Train) -> list[str]:
    """Describe every contradiction; return an empty list if there is none."""
    path, shares = fetch.path.lower(), split.test_fraction + split.val_fraction
    shares += split.holdout_fraction
    rules = [
        (
            fetch.source != "local" or not path.endswith(".md"),
            "fetch.path",
            "a folder or a table (.csv) if fetch.source is 'local'",
            fetch.path,
        ),
        (
            fetch.source != "hpa" or path.endswith(".csv"),
            "fetch.path",
            "a table (.csv) if fetch.source is 'hpa'",
            fetch.path,
        ),
        (
            shares < 1,
            "split.test_fraction + split.val_fraction + split.holdout_fraction",
            "less than 1",
            round(shares, 6),
        ),
        (
            train.fold < split.n_folds,
            "train.fold",
            f"less than split.n_folds ({split.n_folds})",
            train.fold,
        ),
        (
            (train.oversampling == "stated") == (train.repeats is not None),
            "train.repeats",
            "a text if train.oversampling is 'stated', else null",
            train.repeats,
        ),
        (
            loss.name == "focal" or loss.alpha is None,
            "loss.alpha",
            "null if loss.name is not 'focal'",
            loss.alpha,
        ),
        (
            train.head_steps < train.n_steps,
            "train.head_steps",
            f"less than train.n_steps ({train.n_steps})",
            train.head_steps,
        ),
        (
            train.batch_size % train.n_devices == 0,
            "train.batch_size",
            f"a multiple of train.n_devices ({train.n_devices})",
            train.batch_size,
        ),
    ]
    return [
        f"{key}: expected {expected}, received {received!r}"
        for holds, key, expected, received in rules
        if not holds
    ]
