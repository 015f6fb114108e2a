"""Show the trained model as a web page: drop images, see predictions and Grad-CAM maps.

    python src/app.py                                then open http://127.0.0.1:8000
    python src/app.py --model models:/hpa@champion --port 0
    python src/app.py --serve.z max                            for stacks in depth

The page is up after ten seconds, for this computer alone, and stores no upload. Ctrl-C ends it.
"""

from hpa.config import command_line
from hpa.system.backends import prepare_backend

MODEL = "model"


def main() -> None:
    """Serve the page until interrupted."""
    parser = command_line.parser(__doc__, "serve", "app")
    parser.add_argument(
        "--model",
        default=MODEL,
        metavar="FOLDER|models:/NAME@ALIAS",
        help=f"the trained model (default: {MODEL})",
    )
    params, arguments = command_line.parse(parser)
    prepare_backend()

    # These imports take seconds: check the command line first.
    from hpa.app.examples import draw_examples
    from hpa.app.server import find_card, listen, make_app, run
    from hpa.app.views import Views
    from hpa.inference.classifier import Classifier
    from hpa.tracking.registered_models import model_folder

    listening = listen(params.app)
    print(f"loading the model of {arguments.model}", flush=True)
    with model_folder(arguments.model) as folder:
        classifier = Classifier(folder)
        card = find_card(folder, classifier.origin)
    views = Views(classifier, params.serve, params.app)
    examples = draw_examples(params.app.shown_px, classifier.vocabulary)
    views.warm_up()
    app = make_app(views, examples, card)
    name, port = params.app.allowed_hosts.split()[0], listening.getsockname()[1]
    print(f"open http://{name}:{port} in a browser; Ctrl-C ends it", flush=True)
    run(app, listening)


if __name__ == "__main__":
    command_line.run(main)
