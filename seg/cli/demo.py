"""`seg demo`: the whole story in minutes - scenes, training, figures, an ONNX file, a painted video."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from seg.cli.train import share_cores

CLIP = 2_000_000
"""The scene of the clip: far from those of training (from 0) and of validation (from 1,000,000)."""


def demo(
    video: Annotated[Path | None, typer.Option(help="A video of your own to paint as well.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where everything goes.")] = Path("out/demo"),
    config: Annotated[
        Path | None, typer.Option(help="Another config (default: the shipped configs/train/demo.yaml).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo there.")] = False,
) -> None:
    """Make scenes, train on them, evaluate, export and paint a clip that the network has not seen."""
    share_cores()
    from seg.cli.scenes import write_clip, write_sheet
    from seg.config import SyntheticData, load_run_config
    from seg.errors import SegError
    from seg.paths import configs

    started = time.monotonic()
    if video is not None and not video.is_file():
        raise SegError(f"{video}: no such file")
    path = config or configs() / "train" / "demo.yaml"
    scenes = load_run_config(path).data.val[0]
    if not isinstance(scenes, SyntheticData):
        raise SegError(f"{path}: the demo needs synthetic scenes as its first validation source")
    _make_room(out, overwrite)
    files = {name: out / file for name, file in FILES.items()}
    typer.echo("$ making scenes: a contact sheet and a clip")
    write_sheet(scenes, files["scenes"])
    write_clip(scenes, CLIP, files["clip"])
    _command("train", str(path), "--out", str(out / "run"))
    _command("export", str(out / "run"), "-o", str(files["model"]))
    _command("eval", str(files["model"]), "--split", "val", "--json", str(files["figures"]))
    _command("infer", str(files["model"]), str(files["clip"]), "--overlay", str(files["overlay"]),
             "--masks", str(files["masks"]), "--stats", str(files["stats"]))  # fmt: skip
    if video is not None:
        files["video_overlay"] = out / f"{video.stem}.overlay.mp4"
        _command("infer", str(files["model"]), str(video), "--overlay", str(files["video_overlay"]))
    _summarize(out, files, time.monotonic() - started)


FILES = {
    "scenes": "scenes.png",
    "clip": "clip.mp4",
    "report": "run/report.html",
    "model": "demo.onnx",
    "figures": "figures.json",
    "overlay": "clip.overlay.mp4",
    "masks": "masks",
    "stats": "clip.jsonl",
}


def _make_room(out: Path, overwrite: bool) -> None:
    from seg.errors import SegError

    if out.exists():
        if not overwrite:
            raise SegError(f"{out}: exists already; give --overwrite to replace it, or another --out")
        if any(out.iterdir()) and not (out / ".demo").exists():
            raise SegError(f"{out}: holds something that is no demo; choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / ".demo").touch()


def _command(*arguments: str) -> None:
    """Run one of our commands, shown as the user would type it."""
    from seg.cli import app

    typer.echo(f"\n$ seg {shlex.join(arguments)}")
    app(args=list(arguments), standalone_mode=False)


def _summarize(out: Path, files: dict[str, Path], seconds: float) -> None:
    from seg.cli.tables import percent
    from seg.files import write_text

    figures = json.loads(files["figures"].read_text(encoding="utf-8"))
    iou = {name: unit["iou"] for name, unit in figures["units"].items()}
    summary: dict[str, Any] = {
        "miou": figures["mean_iou"],
        "iou": iou,
        "files": {kind: str(path) for kind, path in files.items()},
        "seconds": round(seconds, 1),
    }
    write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    shown = ", ".join(f"{name} {percent(value)}" for name, value in iou.items())
    typer.echo(f"\nmean IoU {percent(figures['mean_iou'])} % on unseen scenes ({shown}), {seconds:.0f} s in all. Open:")
    for kind, path in files.items():
        typer.echo(f"  {kind:14s} {path}")
