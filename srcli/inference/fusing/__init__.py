"""What lets networks infer faster than their plain layers do."""
