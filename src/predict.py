"""Name the structures in your own images with a trained model.

    python src/predict.py FOLDER                       every image below it
    python src/predict.py 'plate7/*_green.tif' more.csv --output predictions.csv
    python src/predict.py plate7.lif#3                 the third field of a file
    python src/predict.py FOLDER --model models:/hpa@champion --output predictions.json

An image is a file per channel of the model, <name>_<channel>.png|tif|jpg, or one file of all
channels such as <name>.ome.tif (docs/data.md). A file or a glob selects whole images: their other
channels are read from the same folder. Files that are passed over are listed first.

The first prediction takes some ten seconds, then a core does several images per second. Each line
names an image and its labels with their probabilities. `!` marks a quality flag of the image, `?` a
label that the model card distrusts. Files that cannot be read are listed at the end; the
exit code is then 1.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hpa.config import command_line
from hpa.system.backends import prepare_backend


def open_model(source: str) -> AbstractContextManager[Path]:
    """Open a model folder, or a registered model, for which alone MLflow is imported."""
    if not source.startswith("models:/"):
        return nullcontext(Path(source))
    from hpa.tracking.registered_models import model_folder

    return model_folder(source)


def main() -> None:
    """Predict the labels of the images named on the command line."""
    parser = command_line.parser(__doc__, "serve")
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="files, folders, globs in quotes, or a CSV"
    )
    parser.add_argument(
        "--model",
        default="model",
        metavar="FOLDER|models:/NAME@ALIAS",
        help="the trained model (default: model)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write every label's probability, threshold, rule and flags to FILE.csv or FILE.json",
    )
    params, arguments = command_line.parse(parser)
    prepare_backend()

    from hpa.app.advice import advise
    from hpa.data.images.file_names import list_passed_over
    from hpa.data.images.user_files import check_paths, find_images
    from hpa.inference.models import read_model_vocabulary, read_name_rules
    from hpa.inference.writers import check_output

    if arguments.output:
        check_output(arguments.output)
    check_paths(arguments.paths)
    with open_model(arguments.model) as folder:
        channels = read_model_vocabulary(folder).channels
        found = find_images(arguments.paths, channels, **read_name_rules(folder, params.serve))
        images = found.images
        for line in list_passed_over(found.passed_over):
            print(line, file=sys.stderr)

        # Imports that take seconds wait until the images are found.
        from hpa.inference.batch import predict_files

        failures = predict_files(images, folder, params.serve, arguments.output)
    if arguments.output:
        print(f"all probabilities are in {arguments.output}")
    if failures:
        print(f"{len(failures)} of {len(images)} images could not be read:", file=sys.stderr)
        for name, reason in failures.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        for advice in filter(None, dict.fromkeys(map(advise, failures.values()))):
            print(f"what to do: {advice}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
