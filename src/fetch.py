"""Bring the images into data/raw, one folder in Kaggle's layout.

    python src/fetch.py            a minute and a half for the default 2,000 synthetic images
    dvc exp run -S fetch.source=local -S fetch.path=FOLDER     your own images

The same parameters give the same bytes on every machine.
"""

from pathlib import Path

from hpa import command_line
from hpa.data.fetching import fetch_local, fetch_synthetic

RAW_DIR = Path("data/raw")


def main() -> None:
    """Fetch from the source that params.yaml names."""
    params, _ = command_line.parse(command_line.parser(__doc__, "fetch"))
    fetch = params.fetch
    if fetch.source == "local":
        fetch_local(RAW_DIR, source_dir=Path(str(fetch.path)))
    else:
        fetch_synthetic(
            RAW_DIR,
            n_images=fetch.n_images,
            n_unlabelled=fetch.n_unlabelled,
            image_size=fetch.image_size,
            tempering=fetch.tempering,
            seed=fetch.seed,
        )
    print(f"images are in {RAW_DIR}")


if __name__ == "__main__":
    command_line.run(main)
