"""Comparison of a model with the champion on images that neither of them was trained on.

The images are those of the holdout split if the new run has one, else of its test split; also if
the champion was trained on all holdout images, as after a holdout was introduced. If the
champion has no predictions for them, because the data has changed, it predicts them now.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.config.folders import PACKED_DIR
from hpa.config.params import Params
from hpa.data.packed.assignment import HOLDOUT
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.splits.duplicates import duplicate_groups
from hpa.errors import UserError
from hpa.evaluation.holdout import HOLDOUT_FILE, IMAGES_FILE
from hpa.evaluation.paired_bootstrap import PairedComparison, compare
from hpa.evaluation.test_predictions import FILE_NAME, EvaluatedSplit, check_same_data
from hpa.inference.classifier import Classifier
from hpa.inference.models import read_model_vocabulary
from hpa.system.files import read_json, sha256
from hpa.thresholds.decisions import decide
from hpa.thresholds.thresholds_file import read_thresholds

FILES = {HOLDOUT: HOLDOUT_FILE, "test": FILE_NAME}
LEARNED = ("train", "val")
"""Splits that chose weights or thresholds."""
FORCE = '--force "REASON" promotes without a comparison'


class OtherVocabularyError(UserError):
    """The champion has other labels or channels: neither comparable, nor to be replaced."""


class AllKnownError(UserError):
    """The champion was trained on all images of a split."""


@dataclass(frozen=True)
class Judgement:
    """A comparison with the champion.

    Attributes:
        comparison: the champion is A.
        split: of the images: "holdout" or "test".
        again: how the champion was judged again, in words; "" if its own predictions were used.
    """

    comparison: PairedComparison
    split: str
    again: str


def judge(champion: Path, folder: Path, params: Params) -> Judgement:
    """Compare the model folder of a run with that of the champion.

    Both decide by the thresholds that they are served with.

    Raises:
        UserError: the champion has other labels or channels than the run, or no predictions for the
            images of the run, and cannot make them.
    """
    _require_same_vocabulary(champion, folder)
    known = ""
    for split, new in _images_to_judge(folder):
        try:
            judgement = _judge_on(split, new, champion, folder, params)
        except AllKnownError as error:
            if split == "test":
                raise
            known = f"{str(error).splitlines()[0]}: test images judge instead"
            continue
        return replace(judgement, again="; ".join(filter(None, (known, judgement.again))))
    raise AssertionError("unreachable: the test split comes last")


def _require_same_vocabulary(champion: Path, folder: Path) -> None:
    old, new = read_model_vocabulary(champion), read_model_vocabulary(folder)
    if difference := old.difference(new):
        raise OtherVocabularyError(
            "the run has other labels or channels than the champion, whose clients expect the same",
            expected=f"the champion's {len(old.labels)} labels and {len(old.channels)} channels",
            received=difference,
            remedy="start a registered model of another name: python src/promote.py RUN_ID --as "
            "NAME; it is served as models:/NAME@champion",
        )


def _images_to_judge(folder: Path) -> Iterator[tuple[str, EvaluatedSplit]]:
    """Yield the splits that may judge a run, with the run's predictions: test is the last one."""
    path = folder / FILES[HOLDOUT]
    if path.is_file() and len(found := EvaluatedSplit.read(path)):
        yield HOLDOUT, _served(folder, found)
    yield "test", _served(folder, EvaluatedSplit.read(folder / FILES["test"]))


def _judge_on(
    split: str, new: EvaluatedSplit, champion: Path, folder: Path, params: Params
) -> Judgement:
    """Compare on one split, for which the champion predicts anew if it has to."""
    again = ""
    try:
        old, new = check_same_data(
            _served(champion, EvaluatedSplit.read(champion / FILES[split])), new
        )
    except UserError as difference:
        old, new, again = _judge_again(champion, folder, split, new, params, difference)
    settings = params.promote
    decisions = old.y_true, old.groups, old.y_pred, new.y_pred
    comparison = compare(*decisions, old.labels, settings.seed, settings.n_draws)
    return Judgement(comparison, split, again)


def _served(folder: Path, evaluated: EvaluatedSplit) -> EvaluatedSplit:
    """Decide predictions anew by the thresholds in a model folder."""
    thresholds, _ = read_thresholds(folder / "thresholds.json")
    return replace(evaluated, y_pred=decide(thresholds, evaluated.y_prob))


def _judge_again(
    champion: Path,
    folder: Path,
    split: str,
    new: EvaluatedSplit,
    params: Params,
    difference: UserError,
) -> tuple[EvaluatedSplit, EvaluatedSplit, str]:
    """Let the champion predict the images of a run, but for the groups that it learned from."""
    _require_images(folder, new, difference)
    rows = pd.Index(read_index(PACKED_DIR)["Id"]).get_indexer(new.ids)
    learned = _learned(champion, rows, params.split.hash_distance)
    fresh = ~np.isin(new.groups, new.groups[learned])
    if not fresh.any():
        raise AllKnownError(
            f"the champion was trained on all {split} images, so they cannot judge it",
            expected="some images that are in neither train nor val of the champion",
            received=f"{len(fresh)} images, all of them known to the champion or near copies",
            remedy=f"add images that it has not seen; {FORCE}",
        )
    new = replace(new, **{name: getattr(new, name)[fresh] for name in _ARRAYS})
    y_prob = _probabilities(champion, rows[fresh], params.serve.batch_size)
    again = f"the champion predicted {len(new.ids):,} images of the new data"
    if not fresh.all():
        again += f"; {int((~fresh).sum()):,} are left out, of groups that it was trained on"
    return _served(champion, replace(new, y_prob=y_prob)), new, again


_ARRAYS = ("ids", "groups", "y_true", "y_prob", "y_pred")


def _require_images(folder: Path, new: EvaluatedSplit, difference: UserError) -> None:
    """Refuse to judge if data/packed is not what the run was evaluated on."""
    index = PACKED_DIR / "index.csv"
    differs = read_model_vocabulary(folder).difference(read_vocabulary(PACKED_DIR))
    digests = read_json(folder / "provenance.json").get("data", {})
    known = new.origin.data.get(index.name) or digests.get(str(index))
    found = sha256(index) if index.is_file() else "none"
    if known != found or differs:
        raise UserError(
            "the champion cannot be judged on the images of this run: they are not in data/packed",
            expected=f"{index} with SHA-256 {known}, for a champion that was not evaluated on them",
            received=f"SHA-256 {found}; {differs or str(difference).splitlines()[0]}",
            remedy=f"restore the data of this run (git checkout COMMIT, dvc checkout); {FORCE}",
        ) from difference


def _learned(champion: Path, rows: np.ndarray, max_distance: int) -> np.ndarray:
    """Tell which packed rows the champion was trained on, bool[n]: by name, or by a near picture.

    Copies that are turned, mirrored or altered within `max_distance` bits count, as in the split.
    """
    path = champion / IMAGES_FILE
    if not path.is_file():
        raise UserError(
            "the champion does not say which images it was trained on",
            expected=f"{IMAGES_FILE} in its version, as the evaluate stage writes it",
            received="a version of an earlier program",
            remedy=f"evaluate and promote the champion's run again with its data; {FORCE}",
        )
    images = pd.read_csv(path, dtype=str, keep_default_na=False)
    images = images[images["split"].isin(LEARNED)]
    index = read_index(PACKED_DIR).iloc[rows]
    views = list(index["hash"])
    n_views = len(views[0].split())
    seen = [" ".join([each] * n_views) for each in images["hash"].unique()]
    group = duplicate_groups([*views, *seen], max_distance)
    return np.asarray(index["Id"].isin(images["Id"])) | np.isin(
        group[: len(views)], group[len(views) :]
    )


def _probabilities(champion: Path, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the champion's scores float32[n,C] of packed rows."""
    classifier, images = Classifier(champion), PackedImages(PACKED_DIR)
    size = images.row_shape[0]
    if size != classifier.image_size:
        raise UserError(
            "the champion cannot be judged on the images of this run: they have another size",
            expected=f"{classifier.image_size} pixels, as the champion was trained",
            received=f"{size} pixels in {PACKED_DIR}",
            remedy=FORCE,
        )
    starts = range(0, len(rows), batch_size)
    return np.concatenate(
        [
            classifier.probabilities(
                images.read(rows[start : start + batch_size]), batch_size=batch_size
            )
            for start in starts
        ]
    )
