"""The command models: list the available models and their cards."""
