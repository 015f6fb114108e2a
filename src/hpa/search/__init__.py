"""Hyper-parameter search with Optuna, and trainings of folds. May import every room except app."""
