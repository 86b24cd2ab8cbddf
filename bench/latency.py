"""Size and speed of every architecture that docs/performance.md names, and CamVid accuracy against latency as a picture.

    python -m bench.latency --commands    # one training for each, all with the recipe of configs/train/camvid-quick.yaml
    python -m bench.latency --keep out/latency --export-only    # the slow half; needs no quiet machine
    python -m bench.latency --keep out/latency --json out/latency.json --runs runs/arch-*
    python -m bench.latency --figures bench/latency.json --runs runs/arch-* --overwrite    # more runs, the speeds kept there

Architectures are the networks of configs/train/*.yaml and those of bench/architectures.py, all with CamVid's 11
classes; a run of another network is measured as well. What is timed is what a user gets: the file of profile `frame`
that `export` makes for one size, called through `infer.Segmenter` with a frame of that size, in float32 (ONNX Runtime's
default options but for the threads: its operators run one after the other). OpenVINO in bfloat16 stands beside it,
where the CPU has it. The weights are fresh ones; they do not decide the time.

ESPNet, a published network (bench/espnet.py), takes part; its accuracy is that of its published weights.

Networks take turns, several rounds long; one turn is a pause, an untimed frame and FRAMES timed ones. Milliseconds are
the median over rounds of each turn's median, ratios the median over rounds of the ratio to the reference's turn in the
same round: what disturbs the machine for longer than a turn hits all of them. GFLOPs are multiply-adds times two, of
convolutions and matrix products at the padded size; parameters are those of the torch network.
"""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.architectures import BASE, Figures, Row, architectures, choose, override, with_runs
from bench.espnet import PEER, PUBLISHED, ESPNet, write_frame_file
from bench.plot import draw, table
from export import ExportOptions, export_run
from infer import Segmenter
from seg.classes import load_ontology
from seg.config import ModelConfig, load_run_config
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.files import claim, sha256, write_text
from seg.model import build_network
from seg.model.checkpoint import WEIGHTS, CheckpointMeta, save_checkpoint
from seg.onnx_file import read_metadata
from seg.runtime import distribution_version
from seg.runtime.openvino_runtime import the_core
from seg.spec import ModelSpec
from seg.strict import parse

Picture = npt.NDArray[np.uint8]

SIZES = {"480x360": (360, 480), "1024x512": (512, 1024)}
"""Width x height, as people say it, and (height, width). The first is CamVid's: accuracies are drawn against it."""

FRAMES = 2
"""Timed frames of a turn."""

PAUSE = 0.06
"""Seconds before a turn: for 40 ms after a frame, ONNX Runtime's threads wait for the next one at full load."""


def gflops(network: nn.Module, size: tuple[int, int]) -> float:
    """Billions of floating-point operations for one RGB frame of `size` (height, width); nothing is computed."""
    shapes = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.zeros(1, 3, *size, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def fresh_checkpoint(name: str, model: ModelConfig, folder: Path) -> nn.Module:
    """Write a checkpoint of an untrained network that computes in the range of a trained one; the network."""
    config = load_run_config(BASE, [override(model)])
    ontology = load_ontology(config.ontology)
    torch.manual_seed(0)
    network = build_network(len(ontology), model)
    # untrained batch norms scale nothing: from layer to layer the maps would grow or vanish, which float32 answers with
    # differences in export's comparison, and a CPU with slow denormal numbers
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    frame_HWC = example((192, 256))
    with torch.no_grad():
        network.train()(torch.from_numpy(np.stack([frame_HWC, 255 - frame_HWC])).permute(0, 3, 1, 2))
    meta = CheckpointMeta(
        run=name,
        ontology=ontology,
        config=config,
        steps=0,
        size=next(iter(SIZES.values())),
        data=(),
        data_hash="",
        config_hash="",
        versions={},
    )
    save_checkpoint(folder, meta, {Path(WEIGHTS).stem: network.state_dict()})
    return network.eval()


def example(size: tuple[int, int]) -> Picture:
    """A rendered frame, uint8 RGB (H, W, 3)."""
    return SyntheticScenes(size, seed=0).frame(0)[0]


def prepare(name: str, model: ModelConfig, folder: Path) -> Row:
    """Count one architecture and export it once for each size; files of the same weights in `folder` are kept."""
    checkpoint = folder / name
    network = fresh_checkpoint(name, model, checkpoint)
    weights = sha256(checkpoint / WEIGHTS)
    for label, size in SIZES.items():
        file = model_file(folder, name, label)
        if file.exists():
            spec = ModelSpec.from_metadata(read_metadata(file), str(file))
            if spec.training.weights_hash == weights:
                continue
        say(f"exporting {file.name}")
        export_run(checkpoint, file, [example(size)], ExportOptions(size=size), overwrite=True)
    network.auxiliary = nn.ModuleList()  # of training alone, no part of the file
    parameters = sum(parameter.numel() for parameter in network.parameters())
    flops = {label: gflops(network, size) for label, size in SIZES.items()}
    return Row(name=name, model=model, parameters=parameters, gflops=flops, ms={}, ratio={})


def model_file(folder: Path, name: str, size: str) -> Path:
    """Where the exported file of an architecture lies."""
    return folder / f"{name}-{size}.onnx"


def prepare_peer(folder: Path, like: str) -> Row:
    """Count ESPNet and export it once for each size, with the contract of the exported architecture `like`."""
    torch.manual_seed(0)
    network = ESPNet(len(load_ontology("camvid11"))).eval()
    for label, size in SIZES.items():
        file = model_file(folder, PEER, label)
        if file.exists():
            continue
        say(f"exporting {file.name}")
        spec = ModelSpec.from_metadata(read_metadata(model_file(folder, like, label)), like)
        write_frame_file(network, size, spec, file)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    flops = {label: gflops(network, size) for label, size in SIZES.items()}
    return Row(name=PEER, model=None, parameters=parameters, gflops=flops, ms={}, ratio={}, trained=(PUBLISHED,))


def runtimes() -> dict[str, Callable[[Path, int], Callable[[Picture], object]]]:
    """By name, what makes a file and a number of threads into a function of a frame; left out is what is not here."""
    found: dict[str, Callable[[Path, int], Callable[[Picture], object]]] = {
        "ONNX Runtime": lambda file, threads: Segmenter(file, "cpu", threads)
    }
    if distribution_version("openvino"):
        found["OpenVINO"] = lambda file, threads: Segmenter(file, "openvino", threads)
        if "BF16" in the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            found["OpenVINO bf16"] = lambda file, threads: Segmenter(file, "openvino", threads, precision="bfloat16")
    return found


def take_turns(
    calls: dict[str, Callable[[Picture], object]], frame_HWC: Picture, rounds: int
) -> dict[str, list[float]]:
    """Milliseconds a frame of each function, the median of its turn, one a round."""
    for call in calls.values():  # the first frames also plan and allocate
        call(frame_HWC)
        call(frame_HWC)
    ms: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            call(frame_HWC)
            turn = []
            for _ in range(FRAMES):
                start = time.perf_counter()
                call(frame_HWC)
                turn.append(1000 * (time.perf_counter() - start))
            ms[name].append(statistics.median(turn))
    return ms


def measure(rows: Sequence[Row], folder: Path, reference: str, rounds: int, threads: int) -> Figures:
    """Time the exported files of all rows, one size and runtime after the other."""
    ms: dict[str, dict[str, dict[str, float]]] = {row.name: {size: {} for size in SIZES} for row in rows}
    ratio = copy.deepcopy(ms)
    for label, size in SIZES.items():
        for runtime, load in runtimes().items():
            start = time.monotonic()
            calls = {row.name: load(model_file(folder, row.name, label), threads) for row in rows}
            turns = take_turns(calls, example(size), rounds)
            for name, each in turns.items():
                ms[name][label][runtime] = statistics.median(each)
                ratio[name][label][runtime] = statistics.median(
                    own / other for own, other in zip(each, turns[reference], strict=True)
                )
            say(f"{label} in {runtime}: {len(rows)} networks in {time.monotonic() - start:.0f} s")
    timed = [row.model_copy(update={"ms": ms[row.name], "ratio": ratio[row.name]}) for row in rows]
    return Figures(machine=machine(threads), reference=reference, rows=tuple(timed))


def machine(threads: int) -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    versions = {name: distribution_version(name) for name in ("onnxruntime", "openvino", "torch")}
    return {"cpu": ", ".join(sorted(names)), "threads": threads, "versions": versions}


def say(text: str) -> None:
    """Progress, apart from the table on stdout."""
    print(text, file=sys.stderr, flush=True)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="run directories trained on CamVid")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="measure only these (and the reference)")
    parser.add_argument("--reference", default=BASE.name, help="the network that ratios refer to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the exported files, and use those that are there"
    )
    parser.add_argument("--export-only", action="store_true", help="fill --keep and end")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--figures", type=Path, metavar="JSON", help="take the speeds of an earlier --json")
    parser.add_argument("--plot", type=Path, default=Path("docs/images/latency.png"))
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--commands", action="store_true", help="print how to train each architecture, and end")
    given = parser.parse_args(words)
    if given.export_only and not given.keep:
        parser.error("--export-only: needs --keep DIR")
    if given.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {given.rounds}")
    return given


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the files that were asked for."""
    given = arguments(words)
    if given.commands:
        for name, model in architectures().items():
            words = [
                "seg",
                "train",
                f"configs/train/{BASE.name}",
                override(model),
                "--out",
                f"runs/arch-{Path(name).stem}",
            ]
            print(shlex.join(words))
        return
    if not given.export_only:
        for path in (given.plot, given.json):
            if path is not None:
                claim(path, overwrite=given.overwrite)
    if given.figures:
        figures = read_figures(given.figures)
    else:
        models = choose(given.runs, given.only, given.reference)
        with ExitStack() as stack:
            folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            rows = [prepare(name, model, folder) for name, model in models.items()]
            rows.append(prepare_peer(folder, given.reference))
            if given.export_only:
                return
            figures = measure(rows, folder, given.reference, given.rounds, given.threads)
    figures = with_runs(figures, given.runs)
    print(table(figures))
    if given.json:
        write_text(given.json, figures.model_dump_json(indent=1) + "\n")
    draw(figures, "480x360", "ONNX Runtime", given.plot)


def read_figures(path: Path) -> Figures:
    """What an earlier measurement wrote; SegError where that is not what the file holds."""
    try:
        return parse(Figures, json.loads(path.read_text(encoding="utf-8")), path)
    except (OSError, ValueError) as error:
        raise SegError(f"{path}: expected a file that --json wrote ({error})") from None


if __name__ == "__main__":
    try:
        main()
    except SegError as error:
        sys.exit(str(error))
