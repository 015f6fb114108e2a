"""Network, losses, optimizer and weights in Keras 3. May import the root, config and system."""
