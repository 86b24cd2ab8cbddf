"""An exported file as a run again: it answers as the file does, and can be exported in other ways."""

import json
import shutil

import numpy as np
import onnx
import pytest
import runs
from PIL import Image

from export import ExportOptions, export_run
from infer import Segmenter
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.checkpoint import load_meta, load_network
from seg.onnx_file import SEAL_KEY, read_metadata
from seg.shipped import resolve_model
from seg.spec import METADATA_KEY, ModelSpec
from train.calibrate import calibrate
from train.importing import import_file
from train.origins import origins_of

SCENES = [SyntheticScenes(seed=3, size=(96, 128)).frame(index)[0] for index in range(4)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("file") / "tiny.onnx"
    export_run(runs.trained(tmp_path_factory), file, SCENES, ExportOptions(size=(96, 128), weights="float16"))
    return file


@pytest.fixture(scope="module")
def imported(exported, tmp_path_factory):
    root = tmp_path_factory.mktemp("imported") / "again"
    import_file(exported, root)
    return root


def spec_of(file):
    return ModelSpec.from_metadata(read_metadata(file), str(file))


def test_it_answers_as_the_file_does_and_exports_in_other_ways(exported, imported, tmp_path):
    for options in (ExportOptions(), ExportOptions(profile="logits", dynamic=True)):
        export_run(imported, tmp_path / "other.onnx", SCENES, options, overwrite=True)
        before, after = Segmenter(exported, threads=1), Segmenter(tmp_path / "other.onnx", threads=1)
        assert after.spec.profile == (options.profile or "frame")
        differing = np.mean([before(frame).classes != after(frame).classes for frame in SCENES])
        assert differing < 1e-3


def test_it_says_what_the_weights_were_made_from(exported, imported):
    spec, meta = spec_of(exported), load_meta(imported / "checkpoints" / "best")
    record = spec.training
    assert (meta.run, meta.steps, meta.data, meta.data_hash) == (
        record.run,
        record.steps,
        record.data,
        record.data_hash,
    )
    assert (meta.origins, meta.size, meta.report) == (record.origins, (96, 128), None)
    assert (meta.config_hash, meta.versions, meta.licence) == (record.config_hash, spec.versions, spec.licence)
    assert meta.ontology == spec.as_ontology()
    assert meta.config.data.model_dump(mode="json") == record.validation
    assert [origin.run for origin in origins_of(imported)] == [origin.run for origin in origins_of(exported)]
    assert meta.config.model.model_dump(mode="json") == spec.model


def test_norms_are_measured_on_the_frames_that_are_named(exported, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(SCENES[:2]):
        Image.fromarray(frame // 2).save(folder / f"{index}.png")
    import_file(exported, tmp_path / "again", frames=folder)
    network, _ = load_network(tmp_path / "again")
    other, _ = load_network(_imported(exported, tmp_path / "other"))
    means = [
        next(value for name, value in each.state_dict().items() if name.endswith("running_mean"))
        for each in (network, other)
    ]
    assert not means[0].equal(means[1])


def test_it_is_calibrated_for_another_camera_without_the_data_it_learned_from(exported, tmp_path):
    for folder, first in (("seen", 0), ("held-out", 30)):
        (tmp_path / folder).mkdir()
        for index in range(20):
            frame = SyntheticScenes(seed=9, size=(96, 128)).frame(first + index)[0]
            Image.fromarray(frame).save(tmp_path / folder / f"{index}.png")
    root = tmp_path / "mine"
    import_file(exported, root, frames=tmp_path / "seen")
    meta = calibrate(root, frames=tmp_path / "held-out", steps=2)
    assert (meta.train_frames, meta.held_out_frames) == (20, 20)
    spec, _ = export_run(root, tmp_path / "watched.onnx", SCENES)
    assert "novelty" in {output.name for output in spec.outputs}
    assert 0 <= Segmenter(tmp_path / "watched.onnx", threads=1)(SCENES[0]).novelty <= 1


def _imported(file, root):
    import_file(file, root)
    return root


def rewritten(file, target, **changes):
    """The file with another contract, as one of before would have it."""
    model = onnx.load(file)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != SEAL_KEY}
    entries[METADATA_KEY] = json.dumps({**json.loads(entries[METADATA_KEY]), **changes})
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, target)
    return target


def test_what_cannot_be_imported_says_so(exported, imported, tmp_path):
    before = rewritten(exported, tmp_path / "before.onnx", model=None)
    with pytest.raises(SegError, match=r"before\.onnx: does not say how its network is built"):
        import_file(before, tmp_path / "out")
    gone = spec_of(exported).training.model_dump(mode="json")
    gone["validation"]["train"] = [{"kind": "camvid", "root": "nowhere", "split": "train"}]
    moved = rewritten(exported, tmp_path / "moved.onnx", training=gone)
    with pytest.raises(SegError, match=r"nowhere.*name a folder of pictures with --frames"):
        import_file(moved, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SegError, match="exists; give --overwrite"):
        import_file(exported, imported)
    with pytest.raises(SegError, match=r"tiny\.onnx: is a file, expected a folder's name"):
        import_file(exported, exported)
    used = tmp_path / "used"
    used.mkdir()
    shutil.copy(exported, used / "mine.onnx")
    with pytest.raises(SegError, match="holds something else"):
        import_file(exported, used, overwrite=True)


def test_a_shipped_network_can_be_exported_in_another_profile(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(SyntheticScenes(seed=3, size=(360, 480)).frame(0)[0]).save(folder / "0.png")
    ended = runs.seg(tmp_path, "import", "drive", "-o", tmp_path / "drive", "--frames", folder)
    assert ended.code == 0, ended.stderr
    assert "the network of drive.onnx, 360x480, 5 classes" in ended.stdout
    logits = ("export", tmp_path / "drive", "-o", tmp_path / "logits.onnx", "--profile", "logits", "--frames", folder)
    ended = runs.seg(tmp_path, *logits, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--bgr")
    assert ended.code == 0, ended.stderr
    spec = spec_of(tmp_path / "logits.onnx")
    assert spec.licence == spec_of(resolve_model("drive")).licence
    assert (spec.color_order, spec.profile) == ("BGR", "logits")
    frame = SCENES[0]
    differing = np.mean(Segmenter("drive")(frame).classes != Segmenter(tmp_path / "logits.onnx")(frame).classes)
    assert differing < 1e-3
