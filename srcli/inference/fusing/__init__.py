"""Forms of single networks that infer faster than their layers do."""
