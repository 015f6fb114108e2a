"""Sources of images: whatever they are, each ends as one folder in Kaggle's layout."""
