"""Run the network over val, test and the unlabelled images: the only place that does.

python src/score.py            half a minute; writes scores/{val,test,unlabelled}.npz
python src/score.py --checkpoint last
"""

from pathlib import Path

from hpa import command_line
from hpa.files import read_json

PACKED_DIR, SPLIT_DIR, MODEL_DIR = Path("data/packed"), Path("data/split"), Path("model")
SCORES_DIR = Path("scores")


def main() -> None:
    """Score data/packed with model/."""
    params, _ = command_line.parse(command_line.parser(__doc__, "score"))

    # These take seconds to load, so not before the command line is known to be right.
    from hpa import tracking
    from hpa.prediction import score_splits

    upstream = read_json(MODEL_DIR / "provenance.json")["run_id"]
    with tracking.stage_run("score", params, sections=("score",), upstream=upstream) as run_id:
        score_splits(
            MODEL_DIR / f"{params.score.checkpoint}.keras",
            packed_dir=PACKED_DIR,
            split_dir=SPLIT_DIR,
            scores_dir=SCORES_DIR,
            batch_size=params.score.batch_size,
            run_id=run_id,
        )
        tracking.log_artifacts([SCORES_DIR / "val.npz"], "scores")  # what promotion compares
    print(f"probabilities are in {SCORES_DIR}")


if __name__ == "__main__":
    command_line.run(main)
