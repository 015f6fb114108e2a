"""The web page: a trained model for people who drop images into a browser."""
