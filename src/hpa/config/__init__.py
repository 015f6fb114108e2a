"""Contents of params.yaml and the command line of the scripts. May import the root."""
