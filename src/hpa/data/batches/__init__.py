"""Batches of packed images, their augmentation and oversampling. May import packed images."""
