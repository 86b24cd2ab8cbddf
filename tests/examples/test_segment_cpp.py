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


def test_it_matches_step_by_step(program, golden):
    ended = run(program, golden)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.partition(" differ in ")[2].split(",")[0] for line in ended.stdout.splitlines()] == [
        "input",
        "classes",
        "confidence",
        "map",
    ]


def test_of_a_frame_of_the_networks_size_nothing_differs(program, tmp_path):
    model = resolve_model("drive")
    frame = Frame(SyntheticScenes((360, 480), seed=0).frame(0)[0], 0, 0, "scene")
    (folder,) = write_golden(Segmenter(model, threads=1), model, [frame], tmp_path / "same", 1)
    ended = run(program, folder)
    assert ended.returncode == 0
    assert ended.stdout.count("0 % differ in") == 4


def test_swapped_colours_are_found(program, golden):
    frame_HWC = np.load(golden / "frame.npy")
    np.save(golden / "frame.npy", np.ascontiguousarray(frame_HWC[..., ::-1]))  # as a program that forgets to convert
    ended = run(program, golden)
    assert ended.returncode == 1
    assert "0 % differ in input" not in ended.stdout.replace("100 %", "")


def test_another_way_back_is_found(program, golden):
    map_HW = np.load(golden / "map.npy")
    np.save(golden / "map.npy", np.roll(map_HW, 1, axis=0))  # a row further down, as rounding otherwise would
    assert run(program, golden).returncode == 1


def test_answers_of_another_size_are_no_match(program, golden):
    np.save(golden / "classes.npy", np.load(golden / "classes.npy")[:, :1])
    ended = run(program, golden)
    assert ended.returncode == 2
    assert "reference answers of another size" in ended.stderr


def test_arrays_in_columns_are_not_read_as_rows(program, golden):
    np.save(golden / "map.npy", np.asfortranarray(np.load(golden / "map.npy")))
    ended = run(program, golden)
    assert ended.returncode == 2
    assert "map.npy: expected bytes in C order" in ended.stderr


def test_what_is_no_array_is_said(program, golden):
    (golden / "map.npy").write_bytes(b"no")
    ended = run(program, golden)
    assert ended.returncode == 2
    assert "map.npy: no .npy file" in ended.stderr
