"""Training: the loop, its steps, schedules, averages, checkpoints and exact resume."""
