"""The command ablate: variants of a recipe trained alike and compared."""
