"""Threshold rules, their blend and cross-fitting. May import metrics and the rooms below it."""
