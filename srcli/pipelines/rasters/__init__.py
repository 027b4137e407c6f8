"""Rasters of any size through a network: what is asked for, what it takes, the run itself."""
