"""From probabilities to thresholds and metrics, in NumPy alone."""
