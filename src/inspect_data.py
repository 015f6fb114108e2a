"""Look at files before anything is trained on them: what they hold, and what params.yaml needs.

    python src/inspect_data.py FOLDER                 a folder with or without a table
    python src/inspect_data.py TABLE.csv              paths, a plate map, or Ids of the atlas
    python src/inspect_data.py 'plate7/*.tif' --fetch.found_as 'red=3; green=GFP'
    python src/inspect_data.py FOLDER --write own/mydata.yaml --html inspection.html

Seconds for thousands of files, with progress beyond. Expect the formats, channels, sizes, depths,
pixel sizes, labels, groups, near copies and odd pictures; the images that fetch would refuse, and
why; and the lines of params.yaml to set. `--write` saves these lines for

    python src/apply_params.py own/mydata.yaml && dvc repro

`--html` writes the same with a contact sheet. Nothing else is written. The exit code is 1 if
anything would be refused.
"""

import sys
from argparse import Namespace
from pathlib import Path

from hpa.config import command_line
from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.system.files import atomic_path


def check_outputs(arguments: Namespace) -> None:
    """Refuse files that cannot be written, or that are not to be replaced, before any work.

    Raises:
        UserError: as said.
    """
    for path, suffixes in ((arguments.write, (".yaml", ".yml")), (arguments.html, (".html",))):
        if path is None:
            continue
        inputs = {Path(each).resolve() for each in (*arguments.paths, arguments.params)}
        is_allowed = path.suffix.lower() in suffixes and path.resolve() not in inputs
        if not is_allowed or path.is_dir() or not path.absolute().parent.is_dir():
            raise UserError(
                f"{path} is not a file to write",
                expected=f"a new file that ends in {suffixes[0]}, in an existing folder",
                received=str(path.absolute()),
                remedy="name another; apply_params.py copies the lines into params.yaml",
            )


def main() -> None:
    """Inspect the paths of the command line."""
    parser = command_line.parser(__doc__, "fetch", "pack", "split")
    parser.usage = "%(prog)s PATH ... [--SECTION.KEY VALUE] ... [--write FILE] [--html FILE]"
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a folder, a table, files, or globs in quotes"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the lines of params.yaml to FILE"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    arguments, words = parser.parse_known_args()
    overrides = command_line.read_overrides(words, arguments.sections)
    params = load_params(arguments.params)
    check_outputs(arguments)

    from hpa.data.inspection.findings import findings, overlay
    from hpa.data.inspection.inspecting import inspect

    inspection = inspect(arguments.paths, params, overrides)
    print("\n".join(findings(inspection)))
    if arguments.html:
        from hpa.reports.inspection_page import inspection_page

        with atomic_path(arguments.html) as temporary:
            temporary.write_text(inspection_page(inspection), encoding="utf-8")
        print(f"page: {arguments.html}")
    if arguments.write:
        with atomic_path(arguments.write) as temporary:
            temporary.write_text(overlay(inspection, arguments.write), encoding="utf-8")
        print(f"python src/apply_params.py {arguments.write} sets these lines")
    if not inspection.is_usable:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
