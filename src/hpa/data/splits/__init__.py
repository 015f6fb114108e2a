"""Splits: duplicates, stratified assignment to train, val and test. May import the root and system."""
