"""Evaluation, comparison and error analysis. May import thresholds and the rooms below."""
