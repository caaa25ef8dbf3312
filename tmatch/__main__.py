"""Run the command line as ``python -m tmatch``."""

from tmatch.cli.app import main

main()
