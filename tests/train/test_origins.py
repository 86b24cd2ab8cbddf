"""What a run remembers of the weights that it began with, through checkpoints, files and cards."""

import json
import shutil

import pytest
import runs
import torch
from safetensors.torch import save_file
from test_setup import parts_of

from export import ExportOptions, export_run
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.files import sha256
from seg.model.checkpoint import WEIGHTS, load_meta
from seg.model.unfold import spec_of
from seg.spec import Origin
from train.origins import origins_of, origins_of_encoder

FRAMES = [SyntheticScenes(seed=3, size=(64, 96)).frame(index)[0] for index in range(2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def chain(tmp_path_factory, run):
    """A run that went on from the tiny run, and what it learned from."""
    folder = tmp_path_factory.mktemp("chain")
    other = [{"kind": "synthetic", "count": 4, "first": 50, "size": [64, 96]}]
    config = runs.write_config(folder / "on.yaml", init=str(run), epochs=1, data__train=other)
    ended = runs.seg(folder, "train", config, "-o", folder / "second")
    assert ended.code == 0, ended.stderr
    return folder / "second"


def test_a_run_from_random_weights_has_none(run):
    assert load_meta(run / "checkpoints" / "best").origins == ()


def test_a_run_names_the_one_that_it_went_on_from(run, chain):
    meta = load_meta(run / "checkpoints" / "best")
    (origin,) = load_meta(chain / "checkpoints" / "last").origins
    assert origin == Origin(
        run="tiny",
        data=("synthetic/0 (6 frames)",),
        data_hash=meta.data_hash,
        weights_hash=sha256(run / "checkpoints" / "best" / WEIGHTS),
    )


def test_the_whole_chain_is_in_the_file_and_in_what_goes_on_from_the_file(chain, tmp_path):
    file = tmp_path / "second.onnx"
    export_run(chain, file, FRAMES, ExportOptions())
    made = spec_of(file).training
    assert [(one.run, one.data) for one in (*made.origins, made)] == [
        ("tiny", ("synthetic/0 (6 frames)",)),
        ("second", ("synthetic/0 (4 frames)",)),
    ]
    assert origins_of(file) == origins_of(chain) == (*made.origins, origins_of(chain)[-1])
    assert origins_of(file)[-1].weights_hash == made.weights_hash
    assert parts_of(tmp_path, init=str(file)).meta.origins == origins_of(file)


def test_it_outlives_a_resume_from_weights_that_are_gone(run, tmp_path):
    shutil.copytree(run, tmp_path / "start")
    config = runs.write_config(tmp_path / "on.yaml", init=str(tmp_path / "start"))
    kill = ("train.loop", "train_step", 4)
    runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", hook=runs.before_call, given=kill)
    shutil.rmtree(tmp_path / "start")
    assert runs.seg(tmp_path, "train", config, "-o", tmp_path / "run", "--resume").code == 0
    for checkpoint in ("last", "best"):
        assert [one.run for one in load_meta(tmp_path / "run" / "checkpoints" / checkpoint).origins] == ["tiny"]


def test_weights_of_the_encoder_alone(tmp_path):
    assert origins_of_encoder(None) == ()
    assert origins_of_encoder("imagenet") == (Origin(run="imagenet", data=("imagenet",)),)
    save_file({"a": torch.zeros(2)}, tmp_path / "mine.safetensors")
    (origin,) = origins_of_encoder(str(tmp_path / "mine.safetensors"))
    assert origin == Origin(run="mine.safetensors", weights_hash=sha256(tmp_path / "mine.safetensors"))


def test_a_checkpoint_from_before_origins_were_kept(run, tmp_path):
    shutil.copytree(run, tmp_path / "old")
    meta = tmp_path / "old" / "checkpoints" / "best" / "meta.json"
    said = json.loads(meta.read_text())
    del said["origins"]
    meta.write_text(json.dumps(said))
    assert [one.run for one in origins_of(tmp_path / "old")] == ["tiny"]


def test_what_is_no_start(tmp_path):
    with pytest.raises(SegError, match="no such run"):
        origins_of(tmp_path / "nowhere")
