"""Running ablations: every variant trained alike, measured alike, and compared with its base."""
