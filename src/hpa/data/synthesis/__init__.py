"""The simulated microscope: label sets with the real frequencies, cells drawn to match them."""
