"""All of `infer`, and `seg infer`, `seg restore` and `seg doctor`, in a process where importing torch, train or export fails."""

import subprocess
import sys

from media import write_video
from onnx_models import save_bands, save_restore

SCRIPT = """
import importlib, pkgutil, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "train", "export", "onnx", "onnxscript", "albumentations"}:
            raise ModuleNotFoundError(f"no {name} behind the wall", name=name)

sys.meta_path.insert(0, Wall())
import infer
for module in pkgutil.walk_packages(infer.__path__, "infer."):
    importlib.import_module(module.name)

model, restoring, video, out = sys.argv[1:]
from seg.cli import main

def run(*arguments):
    try:
        main(list(arguments))
    except SystemExit as ended:
        assert not ended.code, ended.code

run("infer", model, video, "--overlay", out + "/o.mp4", "--masks", out + "/m", "--mask-video", out + "/m.mkv",
    "--stats", out + "/s.jsonl")
run("infer", model, out + "/m")
run("restore", restoring, video, "--task", "denoise", "--output", out + "/r.mp4")
run("--help")

from infer import Segmenter, open_source
segmenter = Segmenter(model)
with open_source(video) as source:
    print("frames", sum(answer.classes.shape == (48, 64) for _, answer in segmenter.stream(source)))

from seg.doctor import examine
assert examine()["providers"]["cpu"] == "loads"
assert not {"torch", "train", "export"} & set(sys.modules)
"""


def test_infer_without_torch(tmp_path):
    model, video = save_bands(tmp_path / "bands.onnx"), write_video(tmp_path / "drive.mp4", count=3)
    restoring = save_restore(tmp_path / "restore.onnx")
    (tmp_path / "out").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model), str(restoring), str(video), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "frames 3" in result.stdout
    made = {"o.mp4", "m", "m.mkv", "s.jsonl", "m.overlay.mp4", "r.mp4"}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == made
