"""Simulated microscope: label sets and cells drawn for them. May import labels and seeds."""
