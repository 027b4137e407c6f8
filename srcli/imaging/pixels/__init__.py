"""Pixels as arrays: sizes, colours, alpha, samples; no files."""
