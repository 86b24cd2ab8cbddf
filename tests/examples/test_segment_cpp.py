"""The example in C++: compiled, run on the shipped network, and told apart from a program that does it wrong."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from infer import Segmenter
from infer.golden import write_golden
from seg.data.synthetic import SyntheticScenes
from seg.frame import Frame
from seg.shipped import resolve_model

SOURCE = Path(__file__).parents[2] / "examples" / "segment.cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    spec = importlib.util.find_spec("openvino")
    home = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    if home is None or not (home / "include" / "openvino" / "openvino.hpp").is_file():
        pytest.skip("needs openvino with its headers")
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    made = tmp_path_factory.mktemp("program") / "segment"
    (library,) = (path for path in (home / "libs").glob("libopenvino.so.*"))
    how = (
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-isystem",
        home / "include",
        "-L",
        home / "libs",
        f"-l:{library.name}",
    )
    subprocess.run(["g++", SOURCE, "-o", made, *how, f"-Wl,-rpath,{home / 'libs'}"], check=True)
    return made


@pytest.fixture
def golden(tmp_path):
    """Of a frame of 540x960: half of its rows lie as near to two of the network's."""
    model = resolve_model("drive")
    frame = Frame(SyntheticScenes((540, 960), seed=0).frame(0)[0], 0, 0, "scene")
    (folder,) = write_golden(Segmenter(model, threads=1), model, [frame], tmp_path / "golden", 1)
    return folder


def run(program, golden):
    return subprocess.run([program, resolve_model("drive"), golden], capture_output=True, text=True, check=False)


def test_it_matches_to_the_pixel(program, golden):
    ended = run(program, golden)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "pixels of another class: 0 % of the network's map, 0 % of the frame's" in ended.stdout


def test_swapped_colours_are_found(program, golden):
    frame = np.load(golden / "input.npy")
    np.save(golden / "input.npy", np.ascontiguousarray(frame[..., ::-1]))
    assert run(program, golden).returncode == 1


def test_what_is_no_array_is_said(program, golden):
    (golden / "map.npy").write_bytes(b"no")
    ended = run(program, golden)
    assert ended.returncode == 2
    assert "map.npy: no .npy file" in ended.stderr
