"""Splits: duplicates and stratification. May import the root, config, system and packed images."""
