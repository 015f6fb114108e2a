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
        r"taken in the order",
        "Check the picture. If the order is another, start the program with a line such as "
        "--serve.found_as 'green=2; blue=1', or name the channels in the microscope's program.",
    ),
    (
        r"slices are taken for channels|read by the channels' own names",
        "Check the picture. State by --serve.found_as how this file's channels are found, if "
        "these are others.",
    ),
    (
        r"slices.*Stack to Hyperstack",
        "Start the program with --serve.found_as 'red=1; green=2; …', or in Fiji: Image › "
        "Hyperstacks › Stack to Hyperstack…, with the number of the channels. Of a stack in depth, "
        "choose a file for each channel.",
    ),
    (
        r"last axis of an array",
        "Save the array as OME-TIFF with the channels first, as [C, Y, X].",
    ),
    (r"red-green-blue picture", "Export each channel alone, in greyscale or in its own colour."),
    (
        r"no channel named .* in the file, which holds|found_as",
        "Say which channel of the file is which: start the program with a line such as "
        "--serve.found_as 'green=GFP; blue=1', by name or by number from 1.",
    ),
    (
        r"values.*; the model was trained on",
        "Export images of the same depth as the training images, or compare the result with that "
        "of another rule: --serve.depth percentile, or the white of the camera (4095 for 12 bits).",
    ),
    (
        r"and were cut$|is left with \d+ grey levels",
        "Export the raw values, or state the white of the camera: --serve.depth 4095 for 12 bits.",
    ),
    (
        r"pixel size is unknown",
        "State it if you know it, in micrometres: --serve.pixel_size_um 0.108. A program that "
        "saves OME-TIFF writes it into the file.",
    ),
    (
        r"structures look|fine structures are missing",
        "Another objective or binning than in training: image at the same scale, or train with "
        "such images.",
    ),
    (
        r"only the middle",
        "Cut the field into parts, or train with pack.odd_size: tiles, which looks at all of it.",
    ),
    (
        r"which would be .*pixel_size_um",
        "Check the pixel size in the file; it is in micrometres. If the file states none, "
        "--serve.pixel_size_um 0.108 does.",
    ),
    (
        r"slices in depth",
        "Start the program with --serve.z max or --serve.z 3; or export a projection or one slice "
        "(in Fiji: Image › Stacks › Z Project…).",
    ),
    (r"time series|time points", "In Fiji: Image › Duplicate…, with one frame (t)."),
    (
        r"fields in one file|OME-Zarr folders",
        "On the terminal a field is predicted by its number: python src/predict.py 'FILE#2'.",
    ),
    (
        r"one channel, not the",
        "Choose the file for its channel alone, in one slot (or field of the form); or export all "
        "channels into one file.",
    ),
    (
        r"files of an OME-TIFF|description is missing beside it",
        "Save the image as one OME-TIFF, or predict it on the terminal, where its other files "
        "are: python src/predict.py FILE.",
    ),
    (
        r"extra `microscopes`",
        "Or ask the person who runs this page to install the package.",
    ),
    (
        r"not brightness",
        "Export one channel as a greyscale image of 8 or 16 bits (in ImageJ: Image › Type).",
    ),
    (
        r"unequal pixel size",
        "The files are of different objectives or binnings, or one states a wrong size: correct it "
        "(in ImageJ: Image › Properties), or choose the files of one image.",
    ),
    (
        r"values that are not numbers",
        "Save the image without them (in ImageJ: Process › Math › NaN Background, value 0).",
    ),
    (
        r"whose brightest|below zero|not of 8 bits|set_percentile was set",
        "Start the program with --serve.depth camera, which accepts any depth, or with the white "
        "of the camera (--serve.depth 4095 for 12 bits); or convert the file to 8 bits.",
    ),
    (r"not square|pixels instead of", "Crop the image to a square."),
    (
        r"neither a picture|are not a PNG|an empty file|not OME-Zarr",
        "Export the image as OME-TIFF, or each channel as PNG, TIFF or JPEG.",
    ),
    (
        r"pixels \(at most|decompression bomb|which are \d+ tiles",
        "Make the image smaller, or raise serve.max_size_px.",
    ),
    (
        r"cut or damaged|cut off|are missing|is not there|without its part|OME-TIFF without",
        "Copy the file again, or export it again.",
    ),
    (
        r"a file of several images|several .*pictures|a stack|of unequal size or type",
        "Export one plane, with all its channels, into a file of its own.",
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
    (r"channels of unequal (pixel )?size", "Export all channels of an image at the same size."),
    (r"no \S+ channel, which shows", "Add the file of the protein stain."),
    (r"unknown (field|channels)", "Send the channels of this model, under their names."),
    (r"MB or more are too large", "Send smaller images, or raise serve.max_request_mb."),
    (r"too many large requests", "Wait a moment and try again."),
    (
        r"OME-Zarr|TIFF|CZI|ND2|LIF|zip file|its (part|metadata)|compressed as|strip or tile",
        "Save the image again as OME-TIFF, for instance with Fiji (Bio-Formats).",
    ),
)
"""Pairs of a pattern and the advice for texts that contain it; the first match counts."""


def advise(text: str) -> str:
    """Return advice for a flag or an error; an empty string if there is none."""
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text)), "")
