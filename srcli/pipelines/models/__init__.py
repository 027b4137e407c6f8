"""The command models: the models that can be used here."""
