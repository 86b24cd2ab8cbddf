"""The list of commands: one module a command, registered here."""

from __future__ import annotations

import typer

from seg.cli import (
    average,
    bench,
    calibrate,
    card,
    compress,
    contract,
    curate,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    export,
    golden,
    import_file,
    infer,
    inspect,
    pretrain,
    restore,
    search,
    train,
)


def register(app: typer.Typer) -> None:
    """Add every command to the app."""
    app.command("demo")(demo.demo)
    app.command("train")(train.train)
    app.command("pretrain")(pretrain.pretrain)
    app.command("average")(average.average)
    app.command("eval")(evaluate.evaluate)
    app.command("calibrate")(calibrate.calibrate)
    app.command("export")(export.export)
    app.command("import")(import_file.import_file)
    app.command("card")(card.card)
    app.add_typer(data.app, name="data")
    app.command("infer")(infer.infer)
    app.command("restore")(restore.restore)
    app.command("embed")(embed.embed)
    app.command("search")(search.search)
    app.command("index")(search.index)
    app.command("curate")(curate.curate)
    app.command("compress")(compress.compress)
    app.command("decompress")(compress.decompress)
    app.command("contract")(contract.contract)
    app.command("golden")(golden.golden)
    app.command("bench")(bench.bench)
    app.command("inspect")(inspect.inspect)
    app.command("doctor")(doctor.doctor)
