"""Pixels and files: resizing, colour, photographs. No torch here."""
