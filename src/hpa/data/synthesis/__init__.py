"""Simulated microscope: label sets and cells drawn for them. May import the vocabulary and seeds."""
