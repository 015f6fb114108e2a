"""Splits: duplicates and stratification. May import the root, system and packed images."""
