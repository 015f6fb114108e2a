"""Image files: their table, decoding, formats and rendering. May import the root."""
