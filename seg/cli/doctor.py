"""`seg doctor`: what a bug report needs."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print versions, machine, providers that really load, codecs and free disk. Exits with 1 if it finds a problem."""
    import json

    from seg.doctor import as_text, examine

    report = examine()
    typer.echo(json.dumps(report, indent=2) if as_json else as_text(report))
    if report["problems"]:
        raise typer.Exit(1)
