"""Image files, packing, splits and batches. May import the root, config and system."""
