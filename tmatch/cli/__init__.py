"""The command line: `main` runs it."""

from tmatch.cli.app import app, main

__all__ = ["app", "main"]
