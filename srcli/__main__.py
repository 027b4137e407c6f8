"""Run the command line as ``python -m srcli``."""

from __future__ import annotations

from srcli.cli.main import main

if __name__ == "__main__":
    main()
