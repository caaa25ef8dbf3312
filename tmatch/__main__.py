"""Run the command line as ``python -m tmatch``."""

from tmatch.cli import main

main()
