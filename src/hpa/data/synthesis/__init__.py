"""Simulated microscope: label sets, and cells drawn for them. May import vocabulary and seeds."""
