"""Photographs: their headers, pixels and files, format by format."""
