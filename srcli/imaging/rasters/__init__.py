"""Rasters on disk, georeferenced or huge: read by windows, written by blocks."""
