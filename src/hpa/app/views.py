"""Responses of the page: predictions, and for a single image its picture and Grad-CAM maps.

Nothing is kept between requests.
"""

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpa.app.advice import advise
from hpa.app.examples import encoded
from hpa.app.uploads import Images
from hpa.config.sections import App, Serve
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.rendering import stretched
from hpa.data.images.user_images import read_planes, to_pixels
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.writers import to_csv
from hpa.model.grad_cam import activation_maps
from hpa.vocabulary.document import Vocabulary


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

    def warm_up(self) -> None:
        """Compile the network before the first visitor, by a black image."""
        size, channels = self.classifier.image_size, self.vocabulary.channels
        black = encoded(".png", np.zeros((size, size), np.uint8))
        self.predict_one("", {channels.names[channels.protein]: black})

    def predict_many(self, images: Images) -> dict[str, Any]:
        """Return `predictions`, one per image in the order sent, and their `csv`.

        An image that cannot be read has `error` and `advice` instead. Names are neither unique nor
        exactly as sent, so match images by position. Images are decoded one at a time: only one is
        in memory at its full size.
        """
        rules = self.classifier.rules(self.serve)
        good: dict[int, np.ndarray] = {}
        predictions: list[dict[str, Any]] = [{"image": name} for name, _ in images]
        for place, (_, files) in enumerate(images):
            try:
                good[place] = to_pixels(read_planes(files, rules), rules)
            except InvalidImageError as error:
                predictions[place] |= {"error": str(error), "advice": advise(str(error))}
        names, pixels = [images[place][0] for place in good], list(good.values())
        documents = self._documents(names, np.stack(pixels)) if good else []
        for place, document in zip(good, documents, strict=True):
            predictions[place] = document
        return {"predictions": predictions, "csv": to_csv(documents)}

    def predict_one(self, name: str, files: dict[str, bytes]) -> dict[str, Any]:
        """Return `prediction`, `csv`, `advice` by flag, `picture` and `maps` of one image.

        Raises:
            InvalidImageError: the image cannot be read.
        """
        rules = self.classifier.rules(self.serve)
        planes = read_planes(files, rules)
        pixels = to_pixels(planes, rules)
        shown_px = max(min(*planes[0].shape, self.app.shown_px), 1)
        shown = to_pixels(planes, replace(rules, image_size=shown_px))
        documents = self._documents([name], pixels[None])
        return {
            "prediction": documents[0],
            "csv": to_csv(documents),
            "advice": {flag: advise(flag) for flag in documents[0]["flags"]},
            "picture": self._picture(shown),
            "maps": self._maps(pixels),
        }

    def _documents(self, names: list[str], pixels: np.ndarray) -> list[dict[str, Any]]:
        predictions = self.classifier.predict(names, pixels, batch_size=self.serve.batch_size)
        return [self.classifier.document(each) for each in predictions]

    def _maps(self, pixels: np.ndarray) -> dict[str, Any]:
        """Return the Grad-CAM map of each label, scaled to its maximum and flattened by rows.

        That of several networks is their mean, as Grad-CAM of their mean logit would be.
        """
        try:
            maps = [activation_maps(each, pixels[None]) for each in self.classifier.networks]
        except UserError as error:
            return {"error": str(error)}
        heat = np.mean(maps, axis=0)[0]
        share = heat / np.maximum(heat.max(axis=(0, 1)), np.finfo(np.float32).tiny)
        names = self.vocabulary.labels.names
        rows = np.round(share, 3).reshape(-1, len(names)).T.astype(float)
        height, width = heat.shape[:2]
        by_label = dict(zip(names, rows.tolist(), strict=True))
        return {"height": height, "width": width, "values": by_label}

    def _picture(self, pixels: np.ndarray) -> dict[str, str]:
        """Return each channel, contrast-stretched, as a data URL of a greyscale PNG."""
        planes = np.round(255 * stretched(pixels)).astype(np.uint8)
        return {
            channel: "data:image/png;base64,"
            + base64.b64encode(encoded(".png", planes[..., number])).decode()
            for number, channel in enumerate(self.vocabulary.channels.names)
        }
