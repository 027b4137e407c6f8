"""The command export: write networks for other software."""
