"""`bench.latency` on a tiny network: what it counts, what its table and files hold, and which runs it takes."""

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from torch import nn

from bench import architectures as known
from bench import latency
from bench.espnet import PEER, PUBLISHED, ESPNet
from bench.plot import draw, table
from seg.config import ModelConfig, load_run_config
from seg.errors import SegError
from seg.metrics import Report
from seg.model.checkpoint import META, WEIGHTS, load_meta
from seg.model.decoders import DECODERS

TINY = ModelConfig(
    encoder="resnet18",
    encoder_options={"depth": 3},
    decoder="linknet",
    decoder_options={"channels": 8},
    code_channels=8,
)
FLOPS = 2 * 3 * 9 * 8 * 32 * 48


@pytest.fixture
def tiny(monkeypatch):
    """One architecture and one small size; answers with its name."""
    monkeypatch.setattr(known, "architectures", lambda: {"tiny": TINY})
    monkeypatch.setattr(latency, "SIZES", {"480x360": (64, 96)})  # the label alone is of that size
    return "tiny"


def run_of(folder, model=TINY, mean_iou=0.5, **changes):
    """A checkpoint with the figures of a validation on CamVid, as a run would leave it."""
    latency.fresh_checkpoint("tiny", model, folder)
    meta = load_meta(folder)
    report = Report(
        mean_iou=mean_iou,
        pixel_accuracy=None,
        pixels=0,
        units={},
        class_names=(),
        label_names=(),
        confusion=(),
    )
    config = meta.config.model_copy(update=changes)
    meta = meta.model_copy(update={"run": folder.name, "size": (360, 480), "report": report, "config": config})
    (folder / META).write_text(meta.model_dump_json())
    return folder


def counted():
    """Parameters and GFLOPs of the tiny network at its small size, from its convolutions' weights and maps."""
    network = latency.build_network(11, TINY).eval()
    flops = []

    def count(module, inputs, output):
        # each weight is used once for each pixel that comes out, or that goes in where the map is enlarged
        pixels_BCHW = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        flops.append(2 * module.weight.numel() * pixels_BCHW[0, 0].numel())

    for module in network.modules():
        assert not isinstance(module, nn.Linear)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    network(latency.torch.zeros(1, 3, 64, 96))
    return sum(parameter.numel() for parameter in network.parameters()), sum(flops) / 1e9


def figures_of(**scores):
    """Figures as if each of these networks had been measured, with the mean IoU of its runs."""
    rows = [
        known.Row(
            name=name,
            model=TINY,
            parameters=1_234_567,
            gflops={"480x360": 2.5},
            ms={"480x360": {"ONNX Runtime": 10.0 * number}},
            ratio={"480x360": {"ONNX Runtime": float(number)}},
            trained=[known.Trained(run=name, epochs=7, mean_iou=each)] if each else (),
        )
        for number, (name, each) in enumerate(scores.items(), start=1)
    ]
    machine = {"cpu": "a CPU", "threads": 2, "versions": {"onnxruntime": "1.2"}}
    return known.Figures(machine=machine, reference=rows[0].name, rows=tuple(rows))


def test_gflops_of_a_convolution_are_multiply_adds_times_two():
    assert latency.gflops(nn.Conv2d(3, 8, 3, stride=2, padding=1), (64, 96)) == FLOPS / 1e9


def test_every_decoder_and_shipped_network_is_measured():
    models = known.architectures()
    assert {model.decoder for model in models.values()} == set(DECODERS)
    for name in ("camvid-quick.yaml", "demo.yaml"):
        assert known.deployed(load_run_config(known.BASE.with_name(name)).model) in models.values()


def test_a_command_trains_each_architecture_with_the_same_recipe(capsys):
    latency.main(["--commands"])
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    base = load_run_config(known.BASE)
    runs = [load_run_config(known.BASE, words[3:4]) for words in lines]
    assert [known.deployed(run.model) for run in runs] == list(known.architectures().values())
    assert {run.model_copy(update={"model": base.model}).model_dump_json() for run in runs} == {base.model_dump_json()}
    assert len({words[-1] for words in lines}) == len(lines)


def test_one_network_is_exported_timed_and_drawn(tiny, tmp_path, capsys, monkeypatch):
    runs = [run_of(tmp_path / "first", mean_iou=0.5), run_of(tmp_path / "second", mean_iou=0.6, seed=1)]
    words = ["--reference", tiny, "--rounds", "1", "--threads", "1", "--keep", str(tmp_path / "keep")]
    words += ["--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "p.png"), "--runs", *map(str, runs)]
    latency.main(words)
    said = capsys.readouterr()
    assert "exporting tiny-480x360.onnx" in said.err
    assert "exporting ESPNet-480x360.onnx" in said.err
    assert re.search(r"^\| ESPNet \| as published \| 0\.35 \|.*\| 70\.0 with published weights", said.out, re.MULTILINE)
    assert re.search(
        r"^\| tiny \| resnet18, linknet \| 0\.\d\d \| \d\.\d \| [\d.]+ \(1\.00\) \|.* 55\.00 \(50\.0-60\.0, 2 seeds\)",
        said.out,
        re.MULTILINE,
    )
    row, peer = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert peer["ms"]["480x360"]["ONNX Runtime"] > 0
    assert (row["parameters"], row["gflops"]["480x360"]) == counted()
    assert row["ms"]["480x360"]["ONNX Runtime"] > 0
    assert Image.open(tmp_path / "p.png").size[0] > 1000

    with pytest.raises(SegError, match="exists already"):
        latency.main(words)

    again = ["--figures", str(tmp_path / "f.json"), "--plot", str(tmp_path / "again.png"), "--runs", str(runs[0])]
    latency.main(again)
    assert f"{row['ms']['480x360']['ONNX Runtime']:.1f} (1.00)" in (out := capsys.readouterr().out)
    assert "| 50.00 in" in out

    exported = []
    monkeypatch.setattr(latency, "export_run", lambda run, file, *rest, **options: exported.append(file.name))
    latency.prepare(tiny, TINY, tmp_path / "keep")
    assert exported == []  # the same weights: the kept file is taken
    latency.prepare(tiny, TINY.model_copy(update={"code_channels": 16}), tmp_path / "keep")
    assert exported == ["tiny-480x360.onnx"]


def test_fresh_weights_compute_in_the_range_of_trained_ones(tmp_path):
    network = latency.fresh_checkpoint("tiny", TINY, tmp_path / "run")
    frame = latency.example((96, 128))
    logits = network(latency.torch.from_numpy(frame).permute(2, 0, 1)[None]).logits_BCHW
    assert 0.01 < logits.std() < 100
    assert (tmp_path / "run" / WEIGHTS).is_file()


def test_networks_take_turns():
    order = []
    calls = {name: lambda frame, name=name: order.append(name) for name in ("a", "b")}
    ms = latency.take_turns(calls, np.zeros((2, 2, 3), np.uint8), rounds=2)
    turn = ["a"] * (1 + latency.FRAMES) + ["b"] * (1 + latency.FRAMES)
    assert order == ["a", "a", "b", "b", *turn, *turn]
    assert {name: len(each) for name, each in ms.items()} == {"a": 2, "b": 2}


def test_seeds_are_one_recipe_and_other_recipes_their_own(tmp_path):
    paths = [
        run_of(tmp_path / "a", mean_iou=0.5),
        run_of(tmp_path / "b", mean_iou=0.6, seed=1),
        run_of(tmp_path / "c", mean_iou=0.7, epochs=500),
    ]
    (model, first), (_, second) = known.read_runs(paths)
    assert model == TINY
    assert (first.run, first.mean_iou) == ("a", (0.5, 0.6))
    assert (second.run, second.epochs, second.mean_iou) == ("c", 500, (0.7,))


def test_a_run_of_another_network_is_measured_as_well(tiny, tmp_path):
    other = TINY.model_copy(update={"code_channels": 16})
    chosen = known.choose([run_of(tmp_path / "wide", other), run_of(tmp_path / "same")], [], tiny)
    assert chosen == {"tiny": TINY, "run-wide": other}
    with pytest.raises(SegError, match="did you mean 'tiny'"):
        known.choose([], ["tine"], tiny)
    with pytest.raises(SegError, match="none of those measured"):
        known.with_runs(figures_of(tiny=()), [tmp_path / "wide"])


def test_figures_of_other_frames_are_refused(tmp_path):
    run = run_of(tmp_path / "run")
    meta = load_meta(run)
    data = meta.config.data
    part = data.model_copy(update={"val": (data.val[0].model_copy(update={"limit": 5}),)})
    other = data.model_copy(update={"val": (data.val[0].model_copy(update={"split": "train"}),)})
    for change, message in (
        ({"config": meta.config.model_copy(update={"data": part})}, "validated on CamVid's val, all of it"),
        ({"config": meta.config.model_copy(update={"data": other})}, "validated on CamVid's val, all of it"),
        ({"size": (180, 240)}, "no validation at 480x360"),
        ({"report": None}, "no validation at 480x360"),
    ):
        (run / META).write_text(meta.model_copy(update=change).model_dump_json())
        with pytest.raises(SegError, match=message):
            known.read_runs([run])


def test_the_table_names_what_was_measured_fastest_first():
    lines = table(figures_of(one=(0.5,), two=(), three=(0.7, 0.8))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert len({len(line) for line in cells}) == 1
    assert cells[0][2:5] == ["parameters, M", "GFLOPs 480x360", "ONNX Runtime 480x360, ms"]
    assert cells[2] == ["one", "resnet18, linknet", "1.23", "2.5", "10.0 (1.00)", "50.00 in 7 epochs"]
    assert cells[3][-1] == "-"
    assert cells[4][-1] == "75.00 (70.0-80.0, 2 seeds) in 7 epochs"
    assert "a CPU, 2 threads; onnxruntime 1.2; (1.00) is one." in lines


def test_espnet_is_of_the_published_size():
    """0.364 M parameters with Cityscapes' 20 outputs (Mehta et al., 2018, table 1)."""
    parameters = sum(parameter.numel() for parameter in ESPNet(20).parameters())
    assert parameters == pytest.approx(364_000, rel=0.01)
    network = ESPNet(11).eval()
    frame_13HW = latency.torch.rand(1, 3, 64, 96)
    assert network(frame_13HW).shape == (1, 11, 64, 96)


def with_peer(figures):
    """The last row as if it were a published network."""
    peer = figures.rows[-1].model_copy(update={"model": None, "trained": (PUBLISHED,)})
    return figures.model_copy(update={"rows": (*figures.rows[:-1], peer)})


def test_a_published_network_keeps_its_accuracy_and_stands_as_a_ring(tmp_path):
    figures = figures_of(one=(0.5,), ESPNet=())
    figures = known.with_runs(with_peer(figures), [])
    assert figures.rows[1].trained == (PUBLISHED,)
    (line,) = [line for line in table(figures).splitlines() if PEER in line and "|" in line]
    assert "| as published |" in line
    assert "70.0 with published weights" in line
    assert "nan" not in line
    both = picture(figures, tmp_path / "both.png")
    alone = picture(figures.model_copy(update={"rows": figures.rows[:1]}), tmp_path / "alone.png")
    assert (both != alone).any()


def picture(figures, path):
    draw(figures, "480x360", "ONNX Runtime", path)
    with Image.open(path) as image:
        return np.array(image)


def test_the_picture_moves_with_the_accuracy_and_the_runs(tmp_path):
    none = picture(with_peer(figures_of(one=(), two=(), peer=())), tmp_path / "none.png")
    low = picture(with_peer(figures_of(one=(0.5,), two=(), peer=())), tmp_path / "low.png")
    high = picture(with_peer(figures_of(one=(0.55,), two=(), peer=())), tmp_path / "high.png")
    blue = (np.array(image)[..., 2].astype(int) - image[..., 0] > 100 for image in (none, low, high))
    rows = [np.nonzero(mask)[0] for mask in blue]
    assert len(rows[0]) == 0  # ticks and peers are grey
    assert rows[1].mean() > rows[2].mean()  # a better one stands higher


def test_words_that_do_not_fit_are_refused(tmp_path, capsys):
    for words in (["--export-only"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            latency.main(words)
    (tmp_path / "f.json").write_text("{")
    with pytest.raises(SegError, match="expected a file that --json wrote"):
        latency.read_figures(tmp_path / "f.json")
