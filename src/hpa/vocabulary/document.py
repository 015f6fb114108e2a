"""Labels and channels together, as one JSON document that travels with data and networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpa.vocabulary.channels import Channels
from hpa.vocabulary.labels import Labels


@dataclass(frozen=True)
class Vocabulary:
    """Labels and channels of a data set."""

    labels: Labels
    channels: Channels

    def difference(self, other: "Vocabulary") -> str:
        """Describe how another vocabulary differs from this, in a line; "" if they agree.

        Names and order count: numbers, colours and descriptions change no array.
        """
        parts = {
            "labels": self.labels.difference(other.labels),
            "channels": self.channels.difference(other.channels),
        }
        return "; ".join(f"{key} {text}" for key, text in parts.items() if text)

    def to_json(self) -> dict[str, Any]:
        """Return a document for `json.dump`."""
        return {"labels": self.labels.to_json(), "channels": self.channels.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Vocabulary":
        """Read the document of `to_json`.

        Raises:
            ValueError: it is not a vocabulary.
        """
        try:
            labels, channels = document["labels"], document["channels"]
        except (LookupError, TypeError) as error:
            raise ValueError(f"not a vocabulary: {document!r:.200}") from error
        return cls(Labels.from_json(labels), Channels.from_json(channels))
