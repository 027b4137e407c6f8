"""Rasters of any size, window by window."""
