"""The command bench: speed, memory and size of models."""
