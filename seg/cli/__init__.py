"""The `seg` command: the outermost layer. Command modules import the rooms inside their functions, so help is instant."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seg import __version__
from seg.cli import commands
from seg.errors import SegError

app = typer.Typer(name="seg", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
_state = {"debug": False}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A segmentation autoencoder for driving scenes: train, evaluate, export to ONNX, run on video."""
    _state["debug"] = debug


commands.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line on stderr and a non-zero exit."""
    try:
        app(args=arguments, standalone_mode=True)
    except (SegError, OSError) as error:
        if _state["debug"]:
            raise
        print(f"seg: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(getattr(error, "exit_code", 1))
