"""Registry, promotion and the served model. May import every room up to tracking and evaluation."""
