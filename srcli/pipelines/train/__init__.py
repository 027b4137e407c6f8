"""The command train: a network from a recipe."""
