"""Executors: units of work in this process, in several processes, or on a Ray cluster."""
