"""`seg search` and `seg index`: frames of a table that are like a given one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seg.errors import SegError

TableArgument = Annotated[Path, typer.Argument(help="A table that `seg embed` wrote.")]


def search(
    table: TableArgument,
    picture: Annotated[Path | None, typer.Argument(help="A picture to find frames like; or give --row.")] = None,
    row: Annotated[int | None, typer.Option(min=0, help="Find frames like that of this row of the table.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many frames to find.")] = 10,
    model: Annotated[
        str | None, typer.Option(help="For a picture: the model that made the table (default: drive).")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw the query and the frames found (.png).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet that exists.")] = False,
) -> None:
    """Find frames like a given one: `seg search drives.parquet --row 120`, `seg search drives.parquet street.png`.

    By semantic hash first, then by code. Searching a large table wants an index beside it: `seg index drives.parquet`.
    """
    from infer.codes import Codes
    from infer.index import index_of
    from infer.neighbours import query_of_picture
    from infer.neighbours import sheet as draw
    from infer.sink import check_suffix
    from seg.data.images import write_png
    from seg.files import claim, spare

    codes = Codes(table)
    if sheet is not None:
        check_suffix(sheet, (".png",))
        claim(sheet, overwrite=overwrite)
        codes.protect(sheet)
        spare(sheet, [] if picture is None else [picture.resolve()])
    if picture is not None and row is None:
        code_K, value = query_of_picture(codes, picture, model)
        with index_of(codes) as index:
            found = index.search(code_K, value, k)
        query = (str(picture), 0)
    elif row is not None and picture is None:
        (place,) = codes.places([row])
        with index_of(codes) as index:
            found = index.like_row(row, k)
        query = (place.source, place.index)
    else:
        raise SegError("expected a picture or --row, one of the two: seg search drives.parquet --row 120")
    places = codes.places(found.rows.tolist())
    typer.echo(" rank      row  bits  cosine      time  source")
    for rank, (at, bits, cosine) in enumerate(zip(places, found.bits, found.cosines, strict=True), start=1):
        typer.echo(f"{rank:5} {at.number:8} {bits:5} {cosine:7.3f} {at.time_s:7.2f} s  {at.source}")
    if sheet is not None:
        page, problems = draw(query, found, places)
        write_png(sheet, page)
        typer.echo(str(sheet))
        if problems:
            raise SegError(f"{len(problems)} pictures of the sheet could not be read (first: {problems[0]})")


def index(
    table: TableArgument,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index that exists.")] = False,
) -> None:
    """Write a table's index beside it, for `seg search` and `seg curate` to use: drives.parquet gets drives.index."""
    from infer.codes import Codes
    from infer.index import beside, write_index
    from seg.files import claim

    codes = Codes(table)
    path = beside(table)
    claim(path, overwrite=overwrite)
    write_index(codes, path)
    typer.echo(f"{path}: {codes.rows} frames, codes of {codes.size} values")
