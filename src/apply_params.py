"""Apply an overlay, a file with some of the parameters, to params.yaml.

    python src/apply_params.py params/hpa2018.yaml && dvc repro
    git restore params.yaml            undo

Comments, order and all other values of params.yaml stay. The result is validated first: a wrong
name or value leaves the file untouched.
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.overlays import differences, merged_params
from hpa.system.files import atomic_path


def main() -> None:
    """Write the merged parameters and print what changed."""
    parser = command_line.parser(__doc__)
    parser.add_argument("overlay", type=Path, metavar="OVERLAY", help="such as params/hpa2018.yaml")
    before, arguments = command_line.parse(parser)
    text, after = merged_params(arguments.params, arguments.overlay)
    changes = list(differences(before, after))
    if changes:
        with atomic_path(arguments.params) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print("\n".join([*changes, f"{len(changes)} values changed in {arguments.params}"]))


if __name__ == "__main__":
    command_line.run(main)
