"""Score the val, test and unlabelled images with a trained network.

python src/score.py            half a minute; writes scores/{val,test,unlabelled}.npz
python src/score.py --augmentation dihedral              eight views each, for better scores
python src/score.py --models models                      average the networks of several folds
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, SCORES_DIR, SPLIT_DIR
from hpa.system.backends import prepare_backend


def main() -> None:
    """Score data/packed with the networks of score.models."""
    params, _ = command_line.parse(command_line.parser(__doc__, "score"))
    prepare_backend()

    # Imports that take seconds wait until the command line is checked.
    from hpa.inference.scoring import PROVENANCE, find_models, require_same_split, score_splits
    from hpa.tracking.stage_run import log_artifacts, stage_run

    models = find_models(Path(params.score.models))
    require_same_split(models, SPLIT_DIR / "assignment.csv")
    # Scores of a single network join the run that trained it, those of several start a new one.
    upstream = models[0].run_id if len(models) == 1 else None
    with stage_run("score", params, sections=("score",), upstream=upstream) as run_id:
        if upstream is None:
            for model in models:
                folder = model.path.parent
                log_artifacts([folder / PROVENANCE], f"models/{folder.name}")
        score_splits(
            models,
            packed_dir=PACKED_DIR,
            split_dir=SPLIT_DIR,
            scores_dir=SCORES_DIR,
            score=params.score,
            run_id=run_id,
        )
        log_artifacts([SCORES_DIR / "val.npz"], "scores")  # for promotion
    print(f"probabilities of {len(models)} network(s) are in {SCORES_DIR}")


if __name__ == "__main__":
    command_line.run(main)
