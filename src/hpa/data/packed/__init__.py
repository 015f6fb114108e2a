"""Packed images, their index and splits, the training range. May import the root and system."""
