"""The everyday commands one after the other on a tiny config, and what mistakes get: one line, exit 2, nothing made."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import runs
from media import read_video, write_video
from PIL import Image

MODULES = [
    "torch",
    "torchvision",
    "segmentation_models_pytorch",
    "albumentations",
    "safetensors",
    "tensorboard",
    "timm",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


def test_train_eval_export_infer(run, tmp_path):
    """From a config to a painted video; `seg train` is what made `run`."""
    assert (run / "report.html").is_file()
    ended = runs.seg(tmp_path, "export", run, "-o", tmp_path / "model.onnx", "--name", "tiny road", "--licence", "MIT")
    assert ended.code == 0, ended.stderr
    assert "model.onnx: fixed 60x92" in ended.stdout
    assert "on 3 real frames" in ended.stdout
    assert "(0.0000% other than ties)" in ended.stdout

    ended = runs.seg(tmp_path, "eval", tmp_path / "model.onnx", "--json", tmp_path / "figures.json", "--workers", 0)
    assert ended.code == 0, ended.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert f"mean IoU {100 * figures['mean_iou']:.2f} %" in ended.stdout
    assert figures["class_names"] == ["background", "road", "lane", "vehicle", "pole"]

    video = write_video(tmp_path / "drive.mp4", count=3)
    ended = runs.seg(tmp_path, "infer", tmp_path / "model.onnx", video, "--overlay", tmp_path / "o.mp4", "--threads", 1)
    assert ended.code == 0, ended.stderr
    assert len(read_video(tmp_path / "o.mp4")[1]) == 3


@pytest.mark.parametrize("profile", ["logits", "argmax"])
def test_export_of_other_profiles_from_a_folder_of_frames(run, tmp_path, profile):
    (tmp_path / "frames").mkdir()
    Image.fromarray(np.full((40, 50, 3), 90, dtype=np.uint8)).save(tmp_path / "frames" / "a.png")
    given = ("--profile", profile, "--frames", tmp_path / "frames", "--size", "33x50")
    ended = runs.seg(tmp_path, "export", run, "-o", tmp_path / "model.onnx", *given)
    assert ended.code == 0, ended.stderr
    assert "fixed 33x50" in ended.stdout
    assert "on 1 real frames" in ended.stdout


def test_export_where_the_validation_frames_are_gone_names_the_way_out(tmp_path, tmp_path_factory):
    """Of videos they are never to be had without their cache, which is no part of a run's record."""
    run = shutil.copytree(runs.trained(tmp_path_factory), tmp_path / "run")
    for meta in run.glob("checkpoints/*/meta.json"):
        content = json.loads(meta.read_text())
        content["config"]["data"]["val"] = [{"kind": "images", "root": str(tmp_path / "gone")}]
        meta.write_text(json.dumps(content))
    ended = runs.seg(tmp_path, "export", run, "-o", tmp_path / "model.onnx")
    assert ended.code == 2
    assert "name other pictures with --frames FOLDER" in ended.stderr


CONFIGS = {
    "an unknown key": (["optimizer.lrr=1"], "unknown key 'optimizer.lrr'; did you mean 'lr'?"),
    "an unknown section": (["optimiser.lr=1"], "unknown key 'optimiser'; did you mean 'optimizer'?"),
    "an ill-typed value": (["epochs=many"], "epochs: .*integer.*'many'"),
    "a value out of range": (["augment.flip=2"], "augment.flip: .*less than or equal to 1 .got 2"),
    "an unknown decoder": (["model.decoder=unett"], "model.decoder: .*'unet'.*got 'unett'"),
    "an unknown encoder": (["model.encoder=resnet81"], "no encoder named 'resnet81'; did you mean 'resnet18'"),
    "no value": (["epochs"], "override 'epochs': expected key=value"),
    "not YAML": (["epochs=[1"], r"override 'epochs=\[1': the value is not valid YAML"),
    "a place that is not there": (["data.train.7.count=1"], "'7' is not a position in a list of 1"),
    "below a value": (["epochs.many=1"], "epochs has no keys below it"),
    "an uneven split": (["accumulate=2", "batch_size=3"], "batch_size 3 is not a multiple of accumulate 2"),
    "an unknown ontology": (["ontology=drove"], "drove.*did you mean 'drive'"),
    "an unknown label set": (["data.train.0.labels=synthetc"], "did you mean 'synthetic'"),
    "a run to start from that is not there": (
        ["init=nowhere"],
        "init: nowhere: no such file, and no shipped network of that name; .*; expected a run, a checkpoint",
    ),
    "an unknown device": (["device=gpu"], "device: expected auto, cpu or cuda, got 'gpu'"),
}


@pytest.mark.parametrize("mistake", CONFIGS)
def test_a_config_with(mistake, tmp_path):
    overrides, message = CONFIGS[mistake]
    config = runs.write_config(tmp_path / "tiny.yaml")
    check_refused(runs.seg(tmp_path, "train", config, *overrides, "-o", tmp_path / "run"), message)
    assert not (tmp_path / "run").exists()  # so that the same command may be given again, put right


def check_refused(ended, message):
    assert ended.code == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert re.match(r"seg: ", line)
    assert re.search(message, line), line


def test_bad_files(run, tmp_path):
    (tmp_path / "broken.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "not.onnx").write_bytes(b"no graph")
    out = ("-o", tmp_path / "new.onnx")
    for arguments, message in [
        (("train", tmp_path / "none.yaml"), r"none\.yaml: no such file"),
        (("train", tmp_path / "broken.yaml"), r"broken\.yaml: not valid YAML"),
        (("train", tmp_path / "list.yaml"), "expected a mapping of keys, got list"),
        (("eval", tmp_path / "none"), "none: no such run or checkpoint"),
        (("eval", tmp_path), "holds no checkpoint"),
        (("eval", tmp_path / "none.onnx"), r"none\.onnx"),
        (("eval", tmp_path / "not.onnx"), r"not\.onnx"),
        (("export", tmp_path / "none", *out), "no such run or checkpoint"),
        (("export", run, "-o", tmp_path / "list.yaml"), "exists already; give --overwrite"),
        (("export", run, "-o", tmp_path / "new"), "--output: expected a name that ends with .onnx"),
        (("export", run, *out, "--bgr"), "profile 'frame' takes bytes, RGB"),
        (
            ("export", run, *out, "--mean", "0.5"),
            "--mean: expected three numbers, such as 0.5,0.5,0.5, got '0.5'",
        ),
        (("export", run, *out, "--std", "1,0,1"), "--std: expected three numbers above 0, such as"),
        (("export", run, *out, "--profile", "fram"), "--profile: expected frame, logits or argmax, got 'fram'"),
        (("export", run, *out, "--size", "0x7"), "--size: expected HEIGHTxWIDTH"),
        (("export", run, *out, "--frames", tmp_path), "no PNG or JPEG files there"),
    ]:
        check_refused(runs.seg(tmp_path, *arguments), message)
    assert not (tmp_path / "new.onnx").exists()
    assert not (tmp_path / "new").exists()


WALL = """
import sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Wall())
from seg.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["train", "eval", "export"])
def test_without_torch_it_says_what_to_install(run, tmp_path, command):
    config = runs.write_config(tmp_path / "tiny.yaml")
    arguments = {"train": [config], "eval": [run], "export": [run, "-o", tmp_path / "model.onnx"]}[command]
    script = WALL.format(modules={*MODULES, "onnx", "onnxscript"})
    ended = subprocess.run(
        [sys.executable, "-c", script, command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.ROOT,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "is not installed, which this command needs; install segmentation-autoencoder[train]" in ended.stderr
    assert not (tmp_path / "model.onnx").exists()


def test_a_module_of_ours_that_is_missing_is_a_bug_and_shows(tmp_path):
    script = WALL.format(modules={"train"})
    config = runs.write_config(tmp_path / "tiny.yaml")
    ended = subprocess.run(
        [sys.executable, "-c", script, "train", str(config)], capture_output=True, text=True, check=False, cwd=runs.ROOT
    )
    assert "Traceback" in ended.stderr
