"""The report page of an evaluation: one HTML file that needs nothing else."""
