"""Training pictures: found, decoded, paired, cut into patches."""
