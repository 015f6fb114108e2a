"""What to do about a flag or a refusal, in the words of somebody at a microscope."""

import re

ADVICE = (
    (
        r"channel shows nothing",
        "Check that the file is the right one and not black. Without this channel the answer "
        "rests on the others alone.",
    ),
    (
        r"are the same picture",
        "One file was probably given twice: give each channel its own.",
    ),
    (
        r"dimmer than any training image",
        "The network has never seen so little light. Export the microscope's full range, or "
        "expose longer.",
    ),
    (
        r"brighter than any training image",
        "The network has never seen so much light. Look for saturation, background, or a contrast "
        "that was stretched on export.",
    ),
    (
        r"blurrier than any training image",
        "Out of focus, or enlarged from a smaller picture: fine structures cannot be told apart. "
        "Focus again, or export at full resolution.",
    ),
    (
        r"sharper or noisier than any training image",
        "Noise, sharpening, or another magnification. Compare the size of the nuclei with the "
        "examples; average frames rather than sharpen.",
    ),
    (
        r"channels may be swapped",
        "Check which file shows which stain, and give each channel the right one.",
    ),
    (
        r"16-bit picture",
        "Start the program with --serve.sixteen_bit_white 65535 (or the value that is white: 4095 "
        "of a 12-bit camera), or convert the file to 8 bits.",
    ),
    (r"no square", "Cut the picture to a square."),
    (r"are no PNG|bytes in all", "Export the channel as PNG, TIFF or JPEG."),
    (r"cut or damaged", "Copy the file again, or export it again."),
    (
        r"pixels \(at most|decompression bomb",
        "Make the picture smaller, or raise serve.max_size_px.",
    ),
    (r"a file of several pictures", "Export one plane of the stack, or its projection."),
    (r"of mode|16-bit components|zero is white", "Export it as a grey picture of 8 bits."),
    (r"coloured picture", "Export the channel in grey, or start with --tinted true."),
    (r"channels of unequal size", "Export all channels of an image at one size."),
    (r"no green channel", "Add the file of the protein's stain."),
    (r"MB or more are too large", "Send smaller pictures, or raise serve.max_request_mb."),
    (r"too many large requests", "Wait a moment and try again."),
)
"""The first pattern found in a text tells what to do about it."""


def advise(text: str) -> str:
    """Return what to do about a flag or a reason; empty where there is nothing to add."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text)), "")
