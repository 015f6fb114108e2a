"""Files, processes, devices and signals; nothing of biology. May import the root."""
