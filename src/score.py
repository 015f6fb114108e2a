"""Score the val, test and unlabelled images with a trained network.

python src/score.py            half a minute; writes scores/{val,test,unlabelled}.npz
python src/score.py --augmentation dihedral              eight views each, for better scores
python src/score.py --models models                      average the networks of several folds

The stages threshold, explain and evaluate follow: they refuse scores that were made otherwise.
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, SCORES_DIR, SPLIT_DIR
from hpa.config.inherited import inherited_params
from hpa.data.packed.record import data_parameters
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.inference.ensemble import require_whole
from hpa.inference.models import find_models, require_same_data, require_vocabulary
from hpa.system.backends import prepare_backend


def main(argv: list[str] | None = None) -> None:
    """Score data/packed with the networks of score.models."""
    params, _ = command_line.parse(command_line.parser(__doc__, "score"), argv)
    models = find_models(Path(params.score.models))
    require_whole(models, Path(params.score.models))
    require_vocabulary(models, read_vocabulary(PACKED_DIR), PACKED_DIR)
    require_same_data(models, PACKED_DIR / "index.csv", SPLIT_DIR / "assignment.csv")
    made_with = data_parameters(PACKED_DIR, SPLIT_DIR)
    prepare_backend(models[0].backend, required_by=f"the training of {models[0].path}")

    # Imports that take seconds wait until the command line is checked.
    from hpa.inference.scoring import NETWORKS, score_splits, shared_params
    from hpa.tracking.stage_run import log_artifacts, stage_run

    params = inherited_params(params, shared_params(models) | made_with)
    # Scores of a single network join the run that trained it, those of several start a new one.
    upstream = models[0].run_id if len(models) == 1 else None
    with stage_run("score", params, sections=("score",), upstream=upstream) as run_id:
        score_splits(
            models,
            packed_dir=PACKED_DIR,
            split_dir=SPLIT_DIR,
            scores_dir=SCORES_DIR,
            score=params.score,
            run_id=run_id,
        )
        log_artifacts([SCORES_DIR / "val.npz", SCORES_DIR / NETWORKS], "scores")  # for promotion
    print(f"probabilities of {len(models)} network(s) are in {SCORES_DIR}")


if __name__ == "__main__":
    command_line.run(main)
