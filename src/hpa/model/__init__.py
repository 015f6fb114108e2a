"""The network and its losses, in Keras 3, on any of its backends."""
