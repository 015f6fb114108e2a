"""Write a data quality page of the packed images: one HTML file that opens offline.

    python src/quality.py          some seconds, after pack and split
    python src/quality.py --output /tmp/mine.html

Expect counts and co-occurrence of labels, brightness of each split and its drift away from the
training images, and thumbnails of blank, saturated and duplicate images. It is not a stage of the
pipeline, because no result depends on it.
"""

from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, REPORTS_DIR, SPLIT_DIR
from hpa.data.packed.packed_images import PackedImages
from hpa.reports.data_quality import findings, inspect
from hpa.reports.data_quality_page import quality_page
from hpa.system.files import atomic_path


def main() -> None:
    """Write the page from data/packed and data/split."""
    parser = command_line.parser(__doc__, "split")
    parser.add_argument(
        "--output",
        type=Path,
        default=REPORTS_DIR / "quality.html",
        metavar="FILE",
        help="write the page here (default: reports/quality.html)",
    )
    params, arguments = command_line.parse(parser)
    quality = inspect(PACKED_DIR, SPLIT_DIR, hash_distance=params.split.hash_distance)
    with atomic_path(arguments.output) as temporary:
        temporary.write_text(quality_page(quality, PackedImages(PACKED_DIR)), encoding="utf-8")
    print("\n".join(findings(quality)))
    print(f"page: {arguments.output}")


if __name__ == "__main__":
    command_line.run(main)
