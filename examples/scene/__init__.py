"""A made-up land, seen from the air, that looks the same through every window."""
