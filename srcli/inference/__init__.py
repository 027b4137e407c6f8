"""One picture of any size through one network."""
