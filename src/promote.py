"""Promote the model of a finished run to champion, the model that is served, unless it is worse.

    python src/promote.py RUN_ID                 half a minute
    python src/promote.py RUN_ID --force "the champion has a label wrong"
    python src/promote.py --rollback             return to the previous champion
    python src/promote.py RUN_ID --as mitosis    another registered model: models:/mitosis

The run's model is registered as a version of models:/hpa. It becomes models:/hpa@champion if it is
non-inferior on the same bootstrap draws of the same images: the 95 % interval of its macro F1 minus
the champion's does not reach below -promote.macro_margin, and no class with evaluate.min_support
images falls by more than promote.class_margin. The images are those of the holdout split if there
is one (split.holdout_fraction), else of the test split, which has then taken part in a choice. A
champion of other data predicts the new images, from data/packed, but for those it was trained on.
A run of other labels or channels cannot replace the champion: it needs a registered model of its
own, --as NAME.

Otherwise the reasons are printed, the champion stays, and the exit code is 1. A forced promotion
keeps its reason as a tag of the version.
"""

import argparse
import sys

from hpa.config import command_line
from hpa.errors import UserError
from hpa.system.backends import prepare_backend
from hpa.tracking.run_ids import full_run_id


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = command_line.parser(__doc__, "promote", "serve")
    parser.add_argument(
        "run_id", nargs="?", metavar="RUN_ID", help="of MLflow, or its first characters"
    )
    parser.add_argument("--force", metavar="REASON", help="promote an inferior model, and say why")
    parser.add_argument(
        "--rollback", action="store_true", help="make the previous champion champion again"
    )
    parser.add_argument(
        "--as",
        dest="name",
        default="hpa",
        metavar="NAME",
        help="name of the registered model (default: hpa)",
    )
    return parser


def check_request(arguments: argparse.Namespace) -> None:
    """Check that the arguments ask for exactly one thing.

    Raises:
        UserError: neither a run nor --rollback, or both, or an empty reason.
    """
    force: str | None = arguments.force
    if bool(arguments.run_id) == arguments.rollback or (arguments.rollback and force is not None):
        raise UserError(
            "it is not clear what to do",
            expected="RUN_ID, or --rollback",
            received=" ".join(sys.argv[1:]) or "nothing",
            remedy="take the run id from reports/metrics.json or make ui",
        )
    if force is not None and not force.strip():
        raise UserError(
            "--force gives no reason",
            expected='a sentence, such as --force "the champion has a label wrong"',
            received=repr(force),
            remedy="say why: the reason is kept with the version",
        )


def main() -> None:
    """Promote a run, or roll back."""
    params, arguments = command_line.parse(make_parser())
    check_request(arguments)
    prepare_backend()
    run_id = full_run_id(arguments.run_id) if arguments.run_id else ""

    # These imports take seconds: check the command line and the run first.
    from hpa.serving.promotion import as_text, promote, roll_back
    from hpa.serving.registry import open_registry

    with open_registry(arguments.name) as registry:
        if arguments.rollback:
            left, now = roll_back(registry)
            print(f"version {now} is champion again, instead of version {left}")
            return
        promotion = promote(registry, run_id, params, arguments.force)
    print(as_text(promotion))
    if promotion.objections and not promotion.done:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
