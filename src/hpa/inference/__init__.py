"""Scores of the splits, and batch inference. May import the rooms up to thresholds."""
