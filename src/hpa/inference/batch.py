"""Answering for files: read, judged and told batch by batch, so memory stays flat."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hpa.config.sections import Serve
from hpa.data.images.formats import InvalidImageError
from hpa.data.images.user_images import ReadingRules, read_planes, to_pixels
from hpa.inference.classifier import Classifier
from hpa.inference.writers import open_output
from hpa.system.progress import progress

N_READERS = 2
"""Threads that decode: OpenCV and Pillow let go of Python's lock meanwhile."""


def predict_files(
    images: dict[str, dict[str, Path]], folder: Path, serve: Serve, output: Path | None
) -> dict[str, str]:
    """Answer for images, files by channel under each name: a line each on the terminal.

    Args:
        images: what `find_images` found.
        folder: the model's.
        serve: limits and batch size.
        output: gets every probability; None for the terminal alone.

    Returns:
        Why each image that could not be read was not, by its name.
    """
    print(f"loading the model of {folder}", flush=True)
    classifier = Classifier(folder)
    failures: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    width = min(40, max(map(len, images)))
    with open_output(output) as write, progress(what="predict", total=len(images)) as bar:
        for names, pixels in _batches(images, classifier.rules(serve), serve.batch_size, failures):
            for answer in classifier.predict(names, pixels, batch_size=serve.batch_size):
                document = classifier.document(answer)
                write(document)
                tqdm.write(line(document, width))
                doubtful |= doubtful_labels(document)
            bar.update(len(names))
    for label, flags in sorted(doubtful.items()):
        print(f"? too little evidence for {label}: {flags}")
    return failures


def line(document: dict[str, Any], width: int) -> str:
    """Tell an answer in one line, ? behind a label of little evidence, and each doubt below."""
    found = [
        f"{each['label']} {each['probability']:.2f}{'?' if each['flags'] else ''}"
        for each in sorted(document["classes"], key=lambda each: -each["probability"])
        if each["present"]
    ]
    name = document["image"]
    shown = name if len(name) <= width else f"…{name[-width + 1 :]}"
    lines = [f"{shown:<{width}}  {', '.join(found) or 'no label above its threshold'}"]
    lines += [f"{'':<{width}}  ! {doubt}" for doubt in document["flags"]]
    return "\n".join(lines)


def doubtful_labels(document: dict[str, Any]) -> dict[str, str]:
    """Return what speaks against believing each label that an answer names, if anything does."""
    return {
        each["label"]: "; ".join(each["flags"])
        for each in document["classes"]
        if each["present"] and each["flags"]
    }


def _batches(
    images: dict[str, dict[str, Path]],
    rules: ReadingRules,
    batch_size: int,
    failures: dict[str, str],
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Read batch after batch, one ahead of the network; what is unfit goes into `failures`.

    The first image comes alone, so that an answer is there as soon as can be.
    """
    names = list(images)
    starts = [0, *range(1, len(names), batch_size)]
    chunks = [names[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
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
    """Return uint8[S,S,4], or the reason why not."""
    try:
        return to_pixels(read_planes(files, rules), rules)
    except InvalidImageError as error:
        return str(error)
