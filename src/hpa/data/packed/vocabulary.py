"""The file vocabulary.json beside raw and packed images: their labels and channels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpa.errors import UserError
from hpa.system.files import read_json, write_json
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import HPA_2018

FILE_NAME = "vocabulary.json"


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read the vocabulary of a folder; that of the competition if an earlier version wrote it.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return HPA_2018
    try:
        return Vocabulary.from_json(read_json(path))
    except ValueError as error:
        raise UserError(
            f"{path} is not a vocabulary",
            expected="labels and channels, as fetch writes them",
            received=str(error),
            remedy="run: dvc repro fetch pack",
        ) from error


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write the vocabulary of a folder."""
    write_json(folder / FILE_NAME, vocabulary.to_json())


def vocabulary_of(provenance: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary of a network; that of the competition if its provenance has none.

    Raises:
        ValueError: it is damaged.
    """
    document = provenance.get("vocabulary")
    return HPA_2018 if document is None else Vocabulary.from_json(document)
