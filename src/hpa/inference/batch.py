"""Batch inference over image files, in constant memory."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hpa.config.sections import Serve
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, read_planes
from hpa.data.packed.pixel_sizes import UNKNOWN
from hpa.errors import first_names
from hpa.inference.classifier import CLASS_FLAGS, Classifier
from hpa.inference.inputs import Input
from hpa.inference.writers import open_output
from hpa.system.progress import progress

N_SHOWN, N_WEAK = 28, 28
"""Labels of an image, and labels not to rely on, that the terminal shows; files hold all."""
SAID_ONCE = (UNKNOWN, "the channels in the file have no names")
"""Beginnings of flags that hold for all images of a microscope: said once, after all images."""
N_READERS = 2  # OpenCV and Pillow release Python's global lock while they decode


def predict_files(
    images: dict[str, dict[str, Path]], folder: Path, serve: Serve, output: Path | None
) -> dict[str, str]:
    """Predict the labels of images and print a line per image.

    Args:
        images: files by channel of each named image, as `find_images` returns them.
        folder: the model folder.
        serve: limits and batch size.
        output: file for all probabilities, or None.

    Returns:
        The reason for each image that could not be read, by its name.
    """
    print(f"loading the model of {folder}", flush=True)
    classifier = Classifier(folder)
    if not (folder / CLASS_FLAGS).is_file():
        print("this model was not evaluated: no label is marked for a poor test result")
    failures: dict[str, str] = {}
    of_all: dict[str, list[str]] = {}
    weak_labels: dict[str, str] = {}
    width = min(40, max(map(len, images)))
    with (
        open_output(output, tiles=classifier.framing.odd_size == "tiles") as write,
        progress(what="predict", total=len(images)) as bar,
    ):
        inputs = _inputs(images, classifier, serve, failures)
        first = classifier.predict(islice(inputs, 1), batch_size=serve.batch_size)  # at once
        others = classifier.predict_each(inputs, batch_size=serve.batch_size)
        for prediction in chain(first, others):
            document = classifier.document(prediction)
            write(document)
            for flag in (each for each in document["flags"] if each.startswith(SAID_ONCE)):
                of_all.setdefault(flag, []).append(prediction.name)
            tqdm.write(line(document, width))
            weak_labels |= {
                each["label"]: "; ".join(each["flags"])
                for each in document["classes"]
                if each["present"] and each["flags"]
            }
            bar.update()
    for flag, names in of_all.items():
        print(f"! {len(names)} of {len(images)} images: {flag} ({first_names(names)})")
    for label, flags in sorted(weak_labels.items())[:N_WEAK]:
        print(f"? do not rely on {label}: {flags}")
    if len(weak_labels) > N_WEAK:
        print(f"? nor on {len(weak_labels) - N_WEAK} other labels: see the model card")
    return failures


def line(document: dict[str, Any], width: int) -> str:
    """Format a prediction as one line, `?` after each flagged label, and a line per image flag."""
    labels = [
        f"{each['label']} {each['probability']:.2f}{'?' if each['flags'] else ''}"
        for each in sorted(document["classes"], key=lambda each: -each["probability"])
        if each["present"]
    ]
    if len(labels) > N_SHOWN:
        labels = [*labels[:N_SHOWN], f"and {len(labels) - N_SHOWN} more"]
    name = document["image"]
    shown = name if len(name) <= width else f"…{name[-width + 1 :]}"
    lines = [f"{shown:<{width}}  {', '.join(labels) or 'no label above its threshold'}"]
    flags = (flag for flag in document["flags"] if not flag.startswith(SAID_ONCE))
    lines += [f"{'':<{width}}  ! {flag}" for flag in flags]
    return "\n".join(lines)


def _inputs(
    images: dict[str, dict[str, Path]],
    classifier: Classifier,
    serve: Serve,
    failures: dict[str, str],
) -> Iterator[Input]:
    """Read images, some ahead of the network; put those that cannot be read into `failures`.

    Of a model that divides images, only as many are read ahead as there are readers: each may be
    large.
    """
    rules, waiting = classifier.rules(serve), deque[tuple[str, Future[Input | str]]]()
    n_ahead = N_READERS if classifier.framing.odd_size == "tiles" else 2 * serve.batch_size
    names = iter(images)
    with ThreadPoolExecutor(N_READERS) as readers:
        while True:
            for name in islice(names, n_ahead - len(waiting)):
                waiting.append((name, readers.submit(_read, name, images[name], classifier, rules)))
            if not waiting:
                return
            name, found = waiting.popleft()
            if isinstance(read := found.result(), str):
                failures[name] = read
            else:
                yield read


def _read(
    name: str, files: dict[str, Path], classifier: Classifier, rules: ReadingRules
) -> Input | str:
    """Return an image as the network sees it, or the reason why it cannot be read."""
    try:
        read = read_planes(files, rules)
        return classifier.to_input(
            name, read.planes, pixel_size_um=read.pixel_size_um, flags=read.flags
        )
    except InvalidImageError as error:
        return str(error)
