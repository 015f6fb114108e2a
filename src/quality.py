"""Write a data quality page of the packed images: one HTML file that opens offline.

    python src/quality.py          some seconds, after pack and split
    python src/quality.py --output /tmp/mine.html

Expect counts and co-occurrence of labels, brightness of each split and its drift away from the
training images, and thumbnails of blank, saturated and duplicate images. It is not a stage of the
pipeline, because no result depends on it.
"""

from datetime import UTC, datetime
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import PACKED_DIR, REPORTS_DIR, SPLIT_DIR
from hpa.data.packed.packed_images import PackedImages
from hpa.data.packed.record import data_parameters
from hpa.reports.data_quality import findings, inspect
from hpa.reports.data_quality_page import quality_page
from hpa.reports.run_facts import data_facts
from hpa.system.files import atomic_path, sha256
from hpa.tracking.lineage import committed_params, lineage


def main() -> None:
    """Write the page from data/packed and data/split."""
    parser = command_line.parser(__doc__, "split", "evaluate")
    parser.add_argument(
        "--output",
        type=Path,
        default=REPORTS_DIR / "quality.html",
        metavar="FILE",
        help="write the page here (default: reports/quality.html)",
    )
    params, arguments = command_line.parse(parser)
    quality = inspect(PACKED_DIR, SPLIT_DIR, hash_distance=params.split.hash_distance)
    images, index_path = PackedImages(PACKED_DIR), PACKED_DIR / "index.csv"
    size = " × ".join(map(str, images.row_shape[:2]))
    facts = data_facts(
        data_parameters(PACKED_DIR, SPLIT_DIR),
        committed_params("HEAD"),
        lineage(),
        images=f"{len(images):,} of {size} pixels, index SHA-256 {sha256(index_path)[:12]}",
        written_at=datetime.now(UTC).isoformat(timespec="minutes"),
        image_side_um=params.evaluate.image_side_um,
    )
    with atomic_path(arguments.output) as temporary:
        temporary.write_text(quality_page(quality, images, facts), encoding="utf-8")
    print("\n".join(findings(quality)))
    print(f"page: {arguments.output}")


if __name__ == "__main__":
    command_line.run(main)
