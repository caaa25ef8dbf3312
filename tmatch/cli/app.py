"""The command line: the commands, and what becomes of errors."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import tmatch
from tmatch._engine.select import describe, describe_code
from tmatch._engine.threads import available_cores
from tmatch.cli.console import Console, console_of
from tmatch.cli.diagnostics import explain, inspect, robustness
from tmatch.cli.filter import filter_image, kernels
from tmatch.cli.heatmap import heatmap
from tmatch.cli.locate import locate
from tmatch.cli.parsing import options_of, with_places
from tmatch.cli.process import BAD_INPUT, INTERRUPTED, PIPE_CLOSED, run
from tmatch.cli.wording import describe_error


class _Commands(TyperGroup):
    """The commands, with one place that turns errors into a line on stderr and an exit code."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        with self._errors_reported(ctx):  # the help, too
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

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the command, and read --output, which was the name of --places."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and "--places" in options_of(command):
            rest = with_places(rest, str(name), ctx.obj.say)
        return name, command, rest

    def _options_of(self, ctx: typer.Context) -> list[str]:
        command = self.commands.get(ctx.invoked_subcommand or "")
        return [] if command is None else options_of(command)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tmatch {tmatch.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
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
    """Find a small image in a big one, show where, and say how sure that is."""
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
        typer.Argument(
            metavar="[DTYPE]...", help="Of the images, as uint8 or float32; all that have code of their own."
        ),
    ] = None,
) -> None:
    """Compile all code of searches and filters now, or load it from disk, and print where it is kept."""
    console = console_of(ctx)
    with console.progress("compiling") as progress:
        ready = tmatch.warm_up(dtypes or None, progress=progress)
    if not ready:
        console.say(f"nothing to compile; engine: {describe()}")
        raise typer.Exit(1)
    console.print(describe_code())


_DONE = "Exit code: 0 done, 2 bad input or usage."
app.command(
    "locate", epilog="Exit code: 0 found what --require asks for, 1 not found, 2 bad input or usage."
)(locate)
app.command("heatmap", epilog=_DONE)(heatmap)
app.command("explain", epilog=_DONE)(explain)
app.command("inspect", epilog=_DONE)(inspect)
app.command("robustness", epilog=_DONE)(robustness)
app.command("filter", epilog=_DONE)(filter_image)
app.command("kernels", epilog=_DONE)(kernels)
app.command("info")(info)
app.command("warm-up", epilog="Exit code: 0 done, 1 there is no compiled engine, 2 bad input or usage.")(
    warm_up
)


def main() -> None:
    """Run the command line."""
    run(lambda: app(prog_name="tmatch"))
