"""From image files to batches: sources, packing, splitting, batches."""
