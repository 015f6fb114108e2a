"""Sources of images, all written in Kaggle's layout. May import data.images and data.synthesis."""
