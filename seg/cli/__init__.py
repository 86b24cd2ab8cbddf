"""The `seg` command: the outermost layer. Command modules import the rooms inside their functions, so help is instant."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from seg import __version__
from seg.cli import commands
from seg.errors import SegError

# plain help: rich's costs 0.2 s at each start
app = typer.Typer(
    name="seg", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None
)
_state = {"debug": False}

TRAINING = {
    "albumentations",
    "onnx",
    "onnxscript",
    "safetensors",
    "segmentation_models_pytorch",
    "tensorboard",
    "timm",
    "torch",
    "torchvision",
}
"""Modules of the extra `train`, which the vehicle's installation does without."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception: what tidies up after Ctrl-C tidies up after it too."""


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
    """Run the command line; a user's mistake is one line on stderr and a non-zero exit.

    Exit codes: 2 for a mistake, 1 for a failure of the system, 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        with _sigterm_raises() as terminated:
            try:
                app(args=arguments, standalone_mode=True)
            except SystemExit as ended:
                if ended.code != 130:
                    raise
                # typer turns every KeyboardInterrupt, and SIGTERM's with it, into exit 130 without a word
                code, word = (143, "terminated") if terminated else (130, "stopped by Ctrl-C")
                _say(word)
                sys.exit(code)
    except (SegError, OSError) as error:
        if _state["debug"]:
            raise
        _say(" ".join([str(error), *(f"({note})" for note in getattr(error, "__notes__", ()))]))
        sys.exit(getattr(error, "exit_code", 1))
    except ModuleNotFoundError as error:
        if error.name == "onnxruntime" and not _state["debug"]:
            _say(
                "onnxruntime is not installed, which this command needs; install segmentation-autoencoder[cpu] or [gpu]"
            )
            sys.exit(2)
        if _state["debug"] or (error.name or "").partition(".")[0] not in TRAINING:
            raise
        _say(f"{error.name} is not installed, which this command needs; install segmentation-autoencoder[train]")
        sys.exit(2)


def _say(message: str) -> None:
    print(f"seg: {message}", file=sys.stderr)  # noqa: T201


@contextmanager
def _sigterm_raises() -> Iterator[list[int]]:
    """SIGTERM raises `Terminated` inside the block; the list given is no longer empty then."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)
