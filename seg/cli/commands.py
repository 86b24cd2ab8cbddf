"""The list of commands: one module a command, registered here."""

from __future__ import annotations

import typer

from seg.cli import data


def register(app: typer.Typer) -> None:
    """Add every command to the app."""
    app.add_typer(data.app, name="data")
