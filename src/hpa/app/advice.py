"""Advice for quality flags and errors, written for microscopists."""

import re

ADVICE = (
    (
        r"channel shows nothing",
        "Check that the file is the right one and not black. Without this channel the "
        "prediction depends on the others alone.",
    ),
    (
        r"are the same picture",
        "The same file was probably chosen twice: choose one file per channel.",
    ),
    (
        r"dimmer than any training image",
        "The training images are all brighter. Export the microscope's full range, or expose "
        "longer.",
    ),
    (
        r"brighter than any training image",
        "The training images are all darker. Look for saturation, background, or a contrast that "
        "was stretched on export.",
    ),
    (
        r"blurrier than any training image",
        "Out of focus, or enlarged from a smaller picture: fine structures cannot be told apart. "
        "Focus again, or export at full resolution.",
    ),
    (
        r"sharper or noisier than any training image",
        "Noise, sharpening, or another magnification. Compare the size of the cells with that in "
        "the training images; average frames rather than sharpen.",
    ),
    (
        r"channels may be swapped",
        "Check which file shows which stain, and choose the right file for each channel.",
    ),
    (
        r"16-bit image",
        "Start the program with --serve.sixteen_bit_white 65535 (or the white value of the "
        "camera: 4095 for 12 bits), or convert the file to 8 bits.",
    ),
    (r"not square", "Crop the image to a square."),
    (r"are not a PNG|an empty file", "Export the channel as PNG, TIFF or JPEG."),
    (r"cut or damaged", "Copy the file again, or export it again."),
    (
        r"pixels \(at most|decompression bomb",
        "Make the image smaller, or raise serve.max_size_px.",
    ),
    (
        r"a file of several images|a stack, or larger",
        "Export one plane of the stack, or its projection.",
    ),
    (
        r"bits? per sample|samples|transparency|a palette|inks|a mask|a negative|zero is black",
        "Export one channel as a greyscale image of 8 bits (in ImageJ: Image › Type › 8-bit, and "
        "Image › Lookup Tables › Grays).",
    ),
    (
        r"light outside",
        "Export each channel by itself, in greyscale or in its own colour, without a scale bar.",
    ),
    (
        r"a colour image \(",
        "Export the channel in greyscale, or start the program with --tinted true.",
    ),
    (r"channels of unequal size", "Export all channels of an image at the same size."),
    (r"no \S+ channel, which shows", "Add the file of the protein stain."),
    (r"unknown (field|channels)", "Send the channels of this model, under their names."),
    (r"MB or more are too large", "Send smaller images, or raise serve.max_request_mb."),
    (r"too many large requests", "Wait a moment and try again."),
)
"""Pairs of a pattern and the advice for texts that contain it; the first match counts."""


def advise(text: str) -> str:
    """Return advice for a flag or an error; an empty string if there is none."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text)), "")
