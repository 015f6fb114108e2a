"""Vocabulary of a data set: its labels and its channels, by name. May import errors.

It enters with fetch (`fetch.labels`, `fetch.channels`), travels with the data as `vocabulary.json`
and with a network in its provenance. Nothing else knows a label or a channel.
"""
