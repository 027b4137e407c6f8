"""Training recipes and other choices, as data."""
