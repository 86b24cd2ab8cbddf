"""`seg demo`: the whole story in minutes - scenes, training, figures, an ONNX file, a painted video."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from seg.cli.training import share_cores

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
    if video is not None:
        _check_video(video, out)
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
    _write_summary(out, files, time.monotonic() - started)
    if video is not None:
        painted = out / "video.overlay.mp4"
        try:
            _command("infer", str(files["model"]), str(video), "--overlay", str(painted))
        finally:  # a damaged video leaves the frames that it has
            if painted.exists():
                files["video_overlay"] = painted
                _write_summary(out, files, time.monotonic() - started)
    _say(out, files)


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
        ours = {"run", "masks", "summary.json", "video.overlay.mp4", *FILES.values()}
        if strange := sorted(entry.name for entry in out.iterdir() if entry.name not in ours):
            raise SegError(f"{out}: holds {strange[0]!r}, which no demo made; choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)


def _check_video(video: Path, out: Path) -> None:
    """Say now, not after minutes of training, that a video cannot be painted or would be lost with an earlier demo."""
    from infer import open_source
    from seg.errors import SegError

    if out.resolve() in video.resolve().parents:
        raise SegError(f"{video}: lies in {out}, which the demo clears; move it elsewhere")
    with open_source(video):
        pass


def _command(*arguments: str) -> None:
    """Run one of our commands, shown as the user would type it."""
    from seg.cli import app

    typer.echo(f"\n$ seg {shlex.join(arguments)}")
    if app(args=list(arguments), standalone_mode=False):  # typer answers Ctrl-C with a number here, not an exception
        raise KeyboardInterrupt


def _write_summary(out: Path, files: dict[str, Path], seconds: float) -> None:
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


def _say(out: Path, files: dict[str, Path]) -> None:
    from seg.cli.tables import percent

    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    shown = ", ".join(f"{name} {percent(value)}" for name, value in summary["iou"].items())
    seconds = summary["seconds"]
    typer.echo(f"\nmean IoU {percent(summary['miou'])} % on unseen scenes ({shown}), {seconds:.0f} s in all. Open:")
    for kind, path in files.items():
        typer.echo(f"  {kind:14s} {path}")
