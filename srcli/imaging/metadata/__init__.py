"""What a file says of its pixels: EXIF, XMP, colours, texts; read, fitted and packed."""
