"""Inspection of a user's files before anything is fetched or trained."""
