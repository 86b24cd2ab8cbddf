"""The loader's measurement runs, on small frames: every loader delivers, and the usual pipeline is the measure.

In a process of its own: loaders fork, and in one process with OpenVINO's and torch's threads what comes later may crash.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SMALL = """
import sys
from bench import loader
loader.HEIGHT, loader.WIDTH = 128, 256
loader.AUGMENT = loader.AUGMENT.model_copy(update={"crop": (64, 128)})
"""

CROPS = """
from pathlib import Path
import numpy as np
folder = Path(sys.argv[1])
labels = loader.write_frames(folder, 8)
files = sorted((folder / "images").iterdir())
assert len({file.read_bytes() for file in files}) == len(files) == 8
frames, masks = next(iter(loader.usual(folder, 2, 1)))
assert (frames.shape, masks.shape) == ((4, 3, 64, 128), (4, 64, 128))
batch = next(iter(loader.ours(labels, folder / "cache")(folder, 2, 0)))
assert (batch.rgb_B3HW.shape, batch.labels_BHW.shape) == ((4, 3, 64, 128), (4, 64, 128))
assert len(np.unique(batch.labels_BHW)) > 1
"""


def python(code, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "SEG_DATA"}
    command = [sys.executable, "-c", SMALL + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_every_loader_is_measured():
    ended = python("loader.main()", "--rounds", "1", "--frames", "8", "--passes", "1", "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    rows = dict(re.findall(r"^(usual.*?|ours.*?)  .* images/s +([\d.]+) x$", ended.stdout, re.MULTILINE))
    assert list(rows) == ["usual pipeline", "ours, without cache", "ours, cache being filled", "ours, cache filled"]
    assert float(rows["usual pipeline"]) == 1
    assert all(float(ratio) > 0 for ratio in rows.values())


def test_too_few_frames_are_refused():
    ended = python("loader.main()", "--frames", "8", "--workers", "2")
    assert ended.returncode == 2
    assert "expected more than 8" in ended.stderr


def test_frames_differ_and_both_loaders_give_crops(tmp_path):
    ended = python(CROPS, tmp_path)
    assert ended.returncode == 0, ended.stderr
