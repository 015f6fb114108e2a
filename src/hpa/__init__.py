"""Protein localisation from four-channel microscopy: the package behind the stages in src/."""
