"""The command line: the commands, and what becomes of errors."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

import tmatch
from tmatch._engine.select import describe, describe_code
from tmatch._engine.threads import available_cores
from tmatch.cli import options
from tmatch.cli.console import Console, console_of
from tmatch.cli.diagnostics import explain, inspect, robustness
from tmatch.cli.filter import filter_image, kernels
from tmatch.cli.heatmap import heatmap
from tmatch.cli.help import Command, CommandGroup, as_printed
from tmatch.cli.locate import locate
from tmatch.cli.parsing import check_dashes, options_of, with_places
from tmatch.cli.process import BAD_INPUT, INTERRUPTED, PIPE_CLOSED, run
from tmatch.cli.suggestions import bad_usage, no_command
from tmatch.cli.wording import describe_error

_START = """
tmatch finds a small image in a large one. Three examples, for a folder that holds the datasets of tmatch:

    tmatch locate datasets/coins/image.png datasets/coins/big.png

    tmatch explain datasets/coins/image.png datasets/coins/small.png

    tmatch filter datasets/coins/image.png -k sharpen -o sharp.png

`tmatch --help` lists all commands, `tmatch COMMAND --help` all options of one.
"""


class _Commands(CommandGroup):
    """The commands, with one place that turns errors into a line on stderr and an exit code."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        with self._errors_reported(ctx):  # the help, too
            if not args and not ctx.resilient_parsing:
                ctx.obj.print(as_printed(_START))
                raise typer.Exit(BAD_INPUT)  # for a script whose arguments are lost
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with self._errors_reported(ctx), ctx.obj.notes():
            return super().invoke(ctx)

    @contextlib.contextmanager
    def _errors_reported(self, ctx: typer.Context) -> Iterator[None]:
        """Write an error to stderr, and end with its exit code."""
        ctx.obj = ctx.obj or Console.of_process()
        try:
            with ctx.obj.flushed():
                yield
        except BrokenPipeError:  # the reader has had enough, as with `| head`
            raise typer.Exit(PIPE_CLOSED) from None
        except KeyboardInterrupt:
            ctx.obj.say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, TypeError, OSError, EOFError, MemoryError, ArithmeticError) as error:
            if ctx.params.get("debug"):
                raise
            ctx.obj.say("error: " + describe_error(error, self._options_of(ctx)))
            raise typer.Exit(BAD_INPUT) from None
        except typer.TyperException as error:
            ctx.obj.say("error: " + bad_usage(error))
            raise typer.Exit(BAD_INPUT) from None

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the command, and read --output, which was the name of --places."""
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise ValueError(no_command(args[0], self.commands))
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or ctx.resilient_parsing:  # while a shell completes what is typed
            return name, command, rest
        check_dashes(rest, command)
        if "--places" in options_of(command):
            rest = with_places(rest, str(name), ctx.obj.say)
        return name, command, rest

    def _options_of(self, ctx: typer.Context) -> list[str]:
        command = self.commands.get(ctx.invoked_subcommand or "")
        return [] if command is None else options_of(command)


app = typer.Typer(
    cls=_Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tmatch {tmatch.__version__}")
        raise typer.Exit


@app.callback(
    epilog="""
Example:

    tmatch locate datasets/coins/image.png datasets/coins/big.png --overlay found.png

`tmatch COMMAND --help` tells all options of a command. Docs, examples and images to try: docs/index.md in the source of
tmatch.
"""
)
def _options(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[  # noqa: ARG001
        bool, typer.Option("--debug", help="Show the full traceback of an error.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Say on stderr what is decided, as the engine and the prefilter."
        ),
    ] = False,
) -> None:
    """Find a small image in a large one, show where, and say how sure that is."""
    if verbose:
        ctx.with_resource(ctx.obj.log())


def info(ctx: typer.Context) -> None:
    """Print versions, engine and number of threads."""
    import platform  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    console = console_of(ctx)
    console.print(f"tmatch {tmatch.__version__}, Python {platform.python_version()}")
    console.print(f"arrays: NumPy {version('numpy')}")
    console.print(
        f"transforms: scipy.fft of SciPy {version('scipy')}; with numba, in two dimensions, tmatch's own"
    )
    console.print(f"engine: {describe()}")
    console.print(f"threads: {available_cores()}, the cores this process may use")


def warm_up(
    ctx: typer.Context,
    dtypes: Annotated[
        list[str] | None,
        options.argument(
            options.ARGUMENTS,
            "DTYPE...",
            "Types of the pixels of your images, as in uint8 or float32. By default all that have code of their own.",
        ),
    ] = None,
) -> None:
    """Compile the fast code now, so that no search has to wait for it later."""
    console = console_of(ctx)
    with console.progress("compiling") as progress:
        ready = tmatch.warm_up(dtypes or None, progress=progress)
    if not ready:
        console.say(f"nothing to compile; engine: {describe()}")
        raise typer.Exit(1)
    console.print(describe_code())


def _add(
    name: str,
    command: Callable[..., None],
    panel: str,
    *examples: str,
    end: str = "0 done, 2 bad input or usage",
) -> None:
    """Add a command, with what its help ends with: exit codes and examples."""
    heading = "Example:" if len(examples) == 1 else "Examples:"
    told = "\n\n    ".join([heading, *examples])
    app.command(name, cls=Command, rich_help_panel=panel, epilog=f"Exit code: {end}.\n\n{told}")(command)


_FIND, _JUDGE, _FILTER, _SETUP = "Find", "Judge a template", "Filter images", "Installation"
_COINS = "datasets/coins/image.png datasets/coins"
_add(
    "locate", locate, _FIND,
    f"tmatch locate {_COINS}/big.png --overlay found.png",
    "tmatch locate datasets/coins/image.png -t datasets/coins/small.png -o found.csv",
    end="0 found what --require asks for, 1 not found, 2 bad input or usage",
)  # fmt: skip
_add(
    "explain",
    explain,
    _FIND,
    f"tmatch explain {_COINS}/small.png",
    f"tmatch explain {_COINS}/small.png --at 13,82",
)
_add("heatmap", heatmap, _FIND, f"tmatch heatmap {_COINS}/big.png -o scores.png")
_add("inspect", inspect, _JUDGE, "tmatch inspect datasets/coins/big.png", f"tmatch inspect {_COINS}/big.png")
_add("robustness", robustness, _JUDGE, f"tmatch robustness {_COINS}/big.png --kinds noise,blur --trials 3")
_add(
    "filter", filter_image, _FILTER,
    "tmatch filter datasets/coins/image.png -k sobel_x --range abs -o edges.png",
    'tmatch filter datasets/coins/image.png -k "0 -1 0; -1 5 -1; 0 -1 0" -o sharp.png',
)  # fmt: skip
_add("kernels", kernels, _FILTER, "tmatch kernels", "tmatch kernels sobel_x --plot sobel_x.png")
_add("info", info, _SETUP, "tmatch info")
_add(
    "warm-up", warm_up, _SETUP, "tmatch warm-up uint8",
    end="0 done, 1 there is no compiled code here, 2 bad input or usage",
)  # fmt: skip


def main() -> None:
    """Run the command line."""
    run(lambda: app(prog_name="tmatch"))
