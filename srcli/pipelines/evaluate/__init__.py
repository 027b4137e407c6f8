"""The command eval: models measured on sets of pictures."""
