"""Help for the tests: small worlds, networks, servers and clones, each real."""
