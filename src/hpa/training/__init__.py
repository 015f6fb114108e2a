"""Training loop, state and checkpoints. May import the rooms up to inference."""
