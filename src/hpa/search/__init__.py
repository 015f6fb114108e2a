"""Hyper-parameter search with Optuna. May import every room except app."""
