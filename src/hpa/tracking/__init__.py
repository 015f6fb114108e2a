"""MLflow runs of the stages, their lineage and reproduction. May import config, system and data."""
