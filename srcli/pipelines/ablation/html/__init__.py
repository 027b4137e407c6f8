"""The report page of ablations: one HTML file that needs nothing else."""
