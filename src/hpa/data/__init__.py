"""From image files to batches: fetching, packing, splitting, batches."""
