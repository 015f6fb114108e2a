"""Inspection of files before anything is fetched. May import every other room of data."""
