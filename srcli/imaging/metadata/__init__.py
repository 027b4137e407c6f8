"""Metadata of pictures: EXIF, XMP, colours, texts; read, fitted and packed."""
