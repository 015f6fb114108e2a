"""Batch inference over image files, in constant memory."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hpa.config.sections import Serve
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.user_images import ReadingRules, read_planes, to_pixels
from hpa.inference.classifier import CLASS_FLAGS, Classifier
from hpa.inference.writers import open_output
from hpa.system.progress import progress

N_SHOWN, N_WEAK = 28, 28
"""Labels of an image, and labels not to rely on, that the terminal shows; files hold all."""
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
    weak_labels: dict[str, str] = {}
    width = min(40, max(map(len, images)))
    with open_output(output) as write, progress(what="predict", total=len(images)) as bar:
        for names, pixels in _batches(images, classifier.rules(serve), serve.batch_size, failures):
            for prediction in classifier.predict(names, pixels, batch_size=serve.batch_size):
                document = classifier.document(prediction)
                write(document)
                tqdm.write(line(document, width))
                weak_labels |= {
                    each["label"]: "; ".join(each["flags"])
                    for each in document["classes"]
                    if each["present"] and each["flags"]
                }
            bar.update(len(names))
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
    lines += [f"{'':<{width}}  ! {flag}" for flag in document["flags"]]
    return "\n".join(lines)


def _batches(
    images: dict[str, dict[str, Path]],
    rules: ReadingRules,
    batch_size: int,
    failures: dict[str, str],
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Read batch after batch, one ahead of the network; put unreadable images into `failures`.

    The first batch is one image, so that its prediction appears at once.
    """
    names = list(images)
    starts = range(1, len(names), batch_size)
    chunks = [names[:1], *(names[start : start + batch_size] for start in starts)]
    with ThreadPoolExecutor(N_READERS) as readers:

        def start(chunk: list[str]) -> list[Future[np.ndarray | str]]:
            return [readers.submit(_read, images[name], rules) for name in chunk]

        waiting = [start(chunk) for chunk in chunks[:2]]
        for number, chunk in enumerate(chunks):
            waiting += [start(later) for later in chunks[number + 2 : number + 3]]
            good = {}
            for name, each in zip(chunk, waiting.pop(0), strict=True):
                if isinstance(found := each.result(), str):
                    failures[name] = found
                else:
                    good[name] = found
            if good:
                yield list(good), np.stack(list(good.values()))


def _read(files: dict[str, Path], rules: ReadingRules) -> np.ndarray | str:
    """Return uint8[S,S,K], or the reason why the image cannot be read."""
    try:
        return to_pixels(read_planes(files, rules), rules)
    except InvalidImageError as error:
        return str(error)
