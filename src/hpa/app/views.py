"""Responses of the page: predictions, and for a single image its picture and Grad-CAM maps.

Nothing is kept between requests.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from hpa.app.advice import advise
from hpa.app.examples import encoded
from hpa.app.uploads import Images, NameRule
from hpa.config.sections import App, Serve
from hpa.data.images.framing import cut, frame, squares
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadImage, read_planes
from hpa.data.images.rendering import stretched
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.inputs import Input
from hpa.inference.models import name_rules
from hpa.inference.writers import to_csv
from hpa.model.grad_cam import activation_maps
from hpa.vocabulary.document import Vocabulary

MAX_CELLS = 64
"""Cells of a map on an axis, at most: a field of many tiles has more."""


@dataclass(frozen=True, eq=False)
class Views:
    """A classifier's predictions in the form that the page shows; thread-safe."""

    classifier: Classifier
    serve: Serve
    app: App

    @property
    def vocabulary(self) -> Vocabulary:
        """Labels and channels of the model."""
        return self.classifier.vocabulary

    @property
    def name_rule(self) -> NameRule:
        """The rule for names of files, as in training unless params.yaml states another."""
        rules = name_rules(self.classifier.origin["params"], self.serve)
        return NameRule(self.vocabulary.channels, **rules)

    def warm_up(self) -> None:
        """Compile the network before the first visitor, by a black image."""
        size, channels = self.classifier.image_size, self.vocabulary.channels
        black = encoded(".png", np.zeros((size, size), np.uint8))
        self.predict_one("", {channels.names[channels.protein]: black})

    def predict_many(self, images: Images) -> dict[str, Any]:
        """Return `predictions`, one per image in the order sent, and their `csv`.

        An image that cannot be read has `error` and `advice` instead. Names are neither unique nor
        exactly as sent, so match images by position. Images are decoded one at a time: only one is
        in memory at its full size, beside the tiles of a batch.
        """
        rules = self.classifier.rules(self.serve)
        good: list[int] = []
        predictions: list[dict[str, Any]] = [{"image": name} for name, _ in images]

        def inputs() -> Iterator[Input]:
            for place, (name, files) in enumerate(images):
                try:
                    read = self._input(name, read_planes(files, rules))
                except InvalidImageError as error:
                    predictions[place] |= {"error": str(error), "advice": advise(str(error))}
                else:
                    good.append(place)
                    yield read

        documents = self._documents(inputs())
        for place, document in zip(good, documents, strict=True):
            predictions[place] = document
        return {"predictions": predictions, "csv": to_csv(documents)}

    def predict_one(self, name: str, files: dict[str, bytes]) -> dict[str, Any]:
        """Return `prediction`, `csv`, `advice` by flag, `picture`, `maps` and `read` of one image.

        Picture and maps show what the network sees: the whole field of a model that divides images
        into tiles.

        Raises:
            InvalidImageError: the image cannot be read.
        """
        read = read_planes(files, self.classifier.rules(self.serve))
        tiles = self._input(name, read)
        documents = self._documents([tiles])
        framed = frame(read.planes, read.pixel_size_um, self.classifier.framing)
        side, corners = squares(framed[0].shape, self.classifier.framing)
        return {
            "prediction": documents[0],
            "csv": to_csv(documents),
            "advice": {flag: advise(flag) for flag in documents[0]["flags"]},
            "picture": self._picture(_seen(framed, side, corners)),
            "maps": self._maps(tiles.tiles, side, corners),
            "read": _described(read, len(corners)),
        }

    def _input(self, name: str, read: ReadImage) -> Input:
        return self.classifier.to_input(
            name, read.planes, pixel_size_um=read.pixel_size_um, flags=read.flags
        )

    def _documents(self, inputs: Iterable[Input]) -> list[dict[str, Any]]:
        predictions = self.classifier.predict(inputs, batch_size=self.serve.batch_size)
        return [self.classifier.document(each) for each in predictions]

    def _maps(self, tiles: np.ndarray, side: int, corners: list[tuple[int, int]]) -> dict[str, Any]:
        """Return the Grad-CAM map of each label, scaled to its maximum and flattened by rows.

        That of several networks is their mean, as Grad-CAM of their mean logit would be; that of
        several tiles covers all of them.
        """
        try:
            heat = _joined(self._heat(tiles), side, corners)
        except UserError as error:
            return {"error": str(error)}
        share = heat / np.maximum(heat.max(axis=(0, 1)), np.finfo(np.float32).tiny)
        names = self.vocabulary.labels.names
        rows = np.round(share, 3).reshape(-1, len(names)).T.astype(float)
        height, width = heat.shape[:2]
        by_label = dict(zip(names, rows.tolist(), strict=True))
        return {"height": height, "width": width, "values": by_label}

    def _heat(self, tiles: np.ndarray) -> np.ndarray:
        """Return the mean maps of the networks over tiles uint8[T,S,S,K], float32[T,h,w,C]."""
        size = self.serve.batch_size
        batches = [tiles[first : first + size] for first in range(0, len(tiles), size)]
        networks = self.classifier.networks
        return np.concatenate(
            [
                np.mean([activation_maps(each, batch) for each in networks], axis=0)
                for batch in batches
            ]
        )

    def _picture(self, planes: list[np.ndarray]) -> dict[str, str]:
        """Return each channel, contrast-stretched, as a data URL of a greyscale PNG."""
        height, width = planes[0].shape
        factor = min(1.0, self.app.shown_px / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        shown = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in planes]
        stack = np.round(255 * stretched(np.stack(shown, axis=-1))).astype(np.uint8)
        return {
            channel: "data:image/png;base64,"
            + base64.b64encode(encoded(".png", stack[..., number])).decode()
            for number, channel in enumerate(self.vocabulary.channels.names)
        }


def _seen(planes: list[np.ndarray], side: int, corners: list[tuple[int, int]]) -> list[np.ndarray]:
    """Cut the rectangle of all squares out of K uint8[H,W]."""
    top, left = np.min(corners, axis=0).tolist()
    height, width = (np.ptp(corners, axis=0) + side).tolist()
    return [cut(plane, top, left, height, width) for plane in planes]


def _joined(maps: np.ndarray, side: int, corners: list[tuple[int, int]]) -> np.ndarray:
    """Join maps float32[T,h,w,C] of squares, to the nearest cell; overlapping ones are averaged."""
    height, width, n_labels = maps.shape[1:]
    first = np.min(corners, axis=0)
    cells = np.round((np.array(corners) - first) * (height, width) / side).astype(int)
    rows, columns = cells.max(axis=0) + np.array((height, width))
    total = np.zeros((rows, columns, n_labels), np.float32)
    n_maps = np.zeros((rows, columns, 1), np.float32)
    for heat, (row, column) in zip(maps, cells, strict=True):
        total[row : row + height, column : column + width] += heat
        n_maps[row : row + height, column : column + width] += 1
    joined = total / np.maximum(n_maps, 1)
    factor = min(1.0, MAX_CELLS / max(rows, columns))
    if factor == 1:
        return joined
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    by_label = np.moveaxis(joined, -1, 0)
    shrunk = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in by_label]
    return np.stack(shrunk, axis=-1)


def _described(read: ReadImage, n_tiles: int) -> str:
    """Say how large an image is, and in how many tiles the network sees it."""
    height, width = read.planes[0].shape
    size = f"{width} × {height} pixels"
    if read.pixel_size_um:
        size += f" of {read.pixel_size_um:.3g} µm"
    return size if n_tiles == 1 else f"{size}, seen as {n_tiles} tiles, whose scores are averaged"
