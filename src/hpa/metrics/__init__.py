"""Metrics from counts: F1, curves, intervals, calibration. May import the root and system."""
