"""Run the command line as ``python -m srcli``."""

from __future__ import annotations

from srcli.cli.start import main

if __name__ == "__main__":
    main()
