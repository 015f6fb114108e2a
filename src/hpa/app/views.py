"""What the page shows of images: answers, and for one image its picture and where labels were seen.

Nothing is kept between two requests.
"""

import base64
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from hpa.app.advice import advise
from hpa.app.uploads import Images
from hpa.config.params import App, Serve
from hpa.data.images.formats import UnfitPictureError
from hpa.data.images.rendering import stretched
from hpa.data.images.user_images import read_planes, to_pixels
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.writers import to_csv
from hpa.labels import CHANNELS, LABELS
from hpa.model.grad_cam import activation_maps


@dataclass(frozen=True, eq=False)
class Views:
    """A classifier's answers as the page wants them; threads may share it."""

    classifier: Classifier
    serve: Serve
    app: App

    def answers(self, images: Images) -> dict[str, Any]:
        """Answer for many images: `answers`, one an image in their order, and their `csv`.

        What cannot be read has `error` and `advice` in the place of its answer: names need not
        differ, and are shown otherwise than they were sent, so only the order tells whose is which.
        Images are decoded one after the other, so no more than one is in memory as it came.
        """
        rules = self.classifier.rules(self.serve)
        good: dict[int, np.ndarray] = {}
        answers: list[dict[str, Any]] = [{"image": name} for name, _ in images]
        for place, (_, files) in enumerate(images):
            try:
                good[place] = to_pixels(read_planes(files, rules), rules)
            except UnfitPictureError as error:
                answers[place] |= {"error": str(error), "advice": advise(str(error))}
        names, pixels = [images[place][0] for place in good], list(good.values())
        documents = self._documents(names, np.stack(pixels)) if good else []
        for place, document in zip(good, documents, strict=True):
            answers[place] = document
        return {"answers": answers, "csv": to_csv(documents)}

    def look(self, name: str, files: dict[str, bytes]) -> dict[str, Any]:
        """Answer for one image: `answer`, `csv`, `advice` by flag, `picture` and `maps`.

        Raises:
            UnfitPictureError: it cannot be read.
        """
        rules = self.classifier.rules(self.serve)
        planes = read_planes(files, rules)
        pixels = to_pixels(planes, rules)
        shown_px = max(min(*planes[0].shape, self.app.shown_px), 1)
        shown = to_pixels(planes, replace(rules, image_size=shown_px))
        documents = self._documents([name], pixels[None])
        return {
            "answer": documents[0],
            "csv": to_csv(documents),
            "advice": {flag: advise(flag) for flag in documents[0]["flags"]},
            "picture": _picture(shown),
            "maps": self._maps(pixels),
        }

    def _documents(self, names: list[str], pixels: np.ndarray) -> list[dict[str, Any]]:
        answers = self.classifier.predict(names, pixels, batch_size=self.serve.batch_size)
        return [self.classifier.document(each) for each in answers]

    def _maps(self, pixels: np.ndarray) -> dict[str, Any]:
        """Return each label's map of uint8[S,S,4], scaled to its own maximum, row by row."""
        try:
            heat = activation_maps(self.classifier.network, pixels[None])[0]
        except UserError as error:
            return {"error": str(error)}
        share = heat / np.maximum(heat.max(axis=(0, 1)), np.finfo(np.float32).tiny)
        rows = np.round(share, 3).reshape(-1, len(LABELS)).T.astype(float)
        height, width = heat.shape[:2]
        by_label = dict(zip(LABELS, rows.tolist(), strict=True))
        return {"height": height, "width": width, "values": by_label}


def _picture(pixels: np.ndarray) -> dict[str, str]:
    """Return each channel, brightened to fill, as the address of a grey PNG."""
    planes = np.round(255 * stretched(pixels)).astype(np.uint8)
    return {
        channel: "data:image/png;base64,"
        + base64.b64encode(cv2.imencode(".png", planes[..., number])[1].tobytes()).decode()
        for number, channel in enumerate(CHANNELS)
    }
