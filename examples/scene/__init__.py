"""A synthetic land, seen from the air, that looks the same in every window."""
