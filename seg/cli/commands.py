"""The list of commands: one module a command, registered here."""

from __future__ import annotations

import typer

from seg.cli import data, doctor, infer


def register(app: typer.Typer) -> None:
    """Add every command to the app."""
    app.add_typer(data.app, name="data")
    app.command("infer")(infer.infer)
    app.command("doctor")(doctor.doctor)
