"""Protein localisation in four-channel microscopy images: the package behind the scripts in src."""
