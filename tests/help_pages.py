"""The help of all commands, as it is printed and as it is stored in tests/cli/help.txt."""

from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from tmatch.cli.app import app

STORED = Path(__file__).parent / "cli" / "help.txt"
GROUP = typer.main.get_command(app)
PAGES = {"tmatch": [], "tmatch --help": ["--help"]} | {
    f"tmatch {name} --help": [name, "--help"] for name in GROUP.commands
}


def run(*arguments: str, **environment: str) -> Result:
    """Run the command line as `tmatch`."""
    return CliRunner().invoke(app, arguments, prog_name="tmatch", env=environment)


def printed(arguments: list[str], width: int) -> str:
    """Return what the command line prints in a number of columns."""
    return run(*arguments, COLUMNS=f"{width}").stdout


def all_pages() -> str:
    """Return all pages of the help in 80 columns."""
    return "\n".join(f"$ {page}\n{printed(arguments, 80)}" for page, arguments in PAGES.items())
