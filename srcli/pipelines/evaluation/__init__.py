"""``srx eval``: sets of pictures in, scores under a named protocol out."""
