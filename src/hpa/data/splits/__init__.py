"""Splits: duplicates, stratification, assignment. May import the root and system."""
