"""The web page of a trained model. May import every room except search."""
