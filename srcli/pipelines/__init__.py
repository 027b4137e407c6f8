"""One module a command: plan, run, report; usable from Python."""
