"""The monitor: its numbers against NumPy's, the laws of its score and hash, and what happens to damaged files."""

import json

import numpy as np
import pytest
import torch

from seg.errors import SegError
from seg.model.checkpoint import WEIGHTS
from seg.model.monitor import (
    META,
    STOP,
    TENSORS,
    Monitor,
    MonitorShape,
    claim_monitor,
    describe,
    load_monitor,
    log_error,
    save_monitor,
    shrink,
)
from seg.model.reconstruction import ReconstructionDecoder

SHAPE = MonitorShape(channels=6, stride=8, width=4, quantiles=11)
ABOUT = {
    "size": (40, 56),
    "seed": 0,
    "steps": 1,
    "train": ("a",),
    "train_frames": 5,
    "train_hash": "0",
    "held_out": ("b",),
    "held_out_frames": 20,
    "held_out_hash": "0",
    "psnr": 20.0,
    "distances": {"0.5": 0.0},
    "versions": {},
}


@pytest.fixture
def monitor():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    made = Monitor(SHAPE).eval()
    fitted = made.statistics
    for buffer in (fitted.mean_F, fitted.whiten_FF, fitted.hash_D32):
        buffer.copy_(torch.randn(buffer.shape, generator=generator))
    fitted.scale_F.copy_(0.5 + torch.rand(fitted.scale_F.shape, generator=generator))
    fitted.distance_Q.copy_(torch.rand(11, generator=generator).cumsum(0) + 1.0)
    fitted.level_Q.copy_(torch.linspace(0.05, 0.95, 11))
    fitted.tail.fill_(0.4)
    return made


def seen(count=3, size=(40, 56), seed=0):
    """Codes and frames."""
    generator = torch.Generator().manual_seed(seed)
    code = torch.randn(count, 6, -(-size[0] // 8), -(-size[1] // 8), generator=generator)
    return code, torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


@torch.inference_mode()
def test_the_answers_are_those_of_the_definitions(monitor):
    code, frames = seen()
    watch = monitor(code, frames)
    fitted = {name: buffer.double().numpy() for name, buffer in monitor.statistics.named_buffers()}
    made = monitor.reconstruct(code, (10, 14)).double().numpy()
    small = frames.double().numpy().reshape(3, 3, 10, 4, 14, 4).mean((3, 5))
    errors = np.log((((made - small) / 255) ** 2).mean((2, 3)))
    codes = code.double().numpy()
    facts = np.concatenate([codes.mean((2, 3)), codes.std((2, 3)), errors], 1)
    facts = (facts - fitted["mean_F"]) / fitted["scale_F"]
    np.testing.assert_allclose(watch.code_BD.numpy(), facts[:, :-3], rtol=1e-4, atol=1e-5)
    # with the precision matrix, as textbooks write the distance
    precision = fitted["whiten_FF"] @ fitted["whiten_FF"].T
    distances = np.log(np.einsum("bf,fg,bg->b", facts, precision, facts) / 15)
    assert fitted["distance_Q"][0] < distances.min()
    assert distances.max() < fitted["distance_Q"][-1]
    expected = np.interp(distances, fitted["distance_Q"], fitted["level_Q"])
    np.testing.assert_allclose(watch.novelty_B.numpy(), expected, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_bits_are_signs_and_the_first_is_the_lowest(monitor):
    code, frames = seen(8)
    watch = monitor(code, frames)
    values = watch.code_BD.double().numpy() @ monitor.statistics.hash_D32.double().numpy()
    assert np.abs(values).min() > 1e-4
    expected = [sum(int(value > 0) << bit for bit, value in enumerate(row)) for row in values]
    assert watch.hash_B.dtype == torch.int64
    assert watch.hash_B.tolist() == expected
    assert min(expected) > 0
    assert 2**31 < max(expected) < 2**32  # the last bit is no sign


@torch.inference_mode()
def test_the_score_rises_strictly_and_never_leaves_its_range(monitor):
    fitted = monitor.statistics
    torch.testing.assert_close(monitor.score(fitted.distance_Q), fitted.level_Q, rtol=0, atol=1e-6)
    low, high = float(fitted.distance_Q[0]), float(fitted.distance_Q[-1])
    inside = torch.linspace(low, high, 301)
    expected = np.interp(inside.numpy(), fitted.distance_Q.numpy(), fitted.level_Q.numpy())
    np.testing.assert_allclose(monitor.score(inside).numpy(), expected, rtol=0, atol=1e-5)
    steps = torch.tensor([0.01, 0.1, 1, 2, 5, 10, 12, 50])  # logarithms: of distances up to e to the 50th
    everywhere = torch.cat([low - steps.flip(0), inside, high + steps])
    scores = monitor.score(everywhere)
    assert (scores.diff() > 0).all()
    assert 0 < scores[0] < scores[-1] < 1
    # half of the rest is gone after one tail's length
    assert float(monitor.score(torch.tensor([high + 0.4]))) == pytest.approx(0.975, abs=1e-5)
    assert float(monitor.score(torch.tensor([low - 0.4]))) == pytest.approx(0.025, abs=1e-5)


@torch.inference_mode()
def test_held_out_frames_that_are_all_alike_make_a_step(monitor):
    monitor.statistics.distance_Q.fill_(2.0)
    scores = monitor.score(torch.tensor([1.0, 1.9, 2.1, 3.0]))
    assert (scores.diff() > 0).all()
    assert scores[1] < 0.05
    assert scores[2] > 0.95


@torch.inference_mode()
@pytest.mark.parametrize("size", [(40, 56), (37, 59), (4, 5), (130, 9)])
def test_any_size_and_any_batch(monitor, size):
    code, frames = seen(3, size)
    together = monitor(code, frames)
    assert (together.novelty_B.shape, together.code_BD.shape, together.hash_B.shape) == ((3,), (3, 12), (3,))
    for index in range(3):
        alone = monitor(code[index : index + 1], frames[index : index + 1].float())
        torch.testing.assert_close(alone.novelty_B[0], together.novelty_B[index], rtol=0, atol=1e-4)
        torch.testing.assert_close(alone.code_BD[0], together.code_BD[index], rtol=1e-4, atol=1e-4)
        assert alone.hash_B[0] == together.hash_B[index]


@torch.inference_mode()
def test_a_frame_that_its_code_explains_too_well_is_as_novel_as_one_explained_badly(monitor):
    code, _ = seen(1)
    made = monitor.reconstruct(code, (10, 14)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    fitted = monitor.statistics
    fitted.whiten_FF.copy_(torch.eye(15))
    fitted.mean_F[:-3], fitted.scale_F.data[:] = describe(code)[0], 1.0
    fitted.mean_F[-3:] = 2 * np.log(0.1)  # errors of a tenth are usual
    usual, perfect, bad = (monitor(code, made + 255 * off).novelty_B for off in (0.1, 1e-4, 1.0))
    assert usual < perfect
    assert usual < bad


def test_shrinking_averages_areas_and_errors_are_by_colour():
    _, frames = seen(1, (10, 13))
    small = shrink(frames)
    assert small.shape == (1, 3, 2, 3)
    torch.testing.assert_close(small[0, :, 1, 2], frames[0, :, 4:8, 8:12].float().mean((1, 2)))
    off = small.clone()
    off[:, 1] += 25.5
    torch.testing.assert_close(log_error(off, small)[0], torch.tensor([1e-6, 0.01, 1e-6]).log(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("stride", "stop"), [(8, 1), (8, 4), (32, 4)])
def test_the_decoder_stops_where_it_is_told(stride, stop):
    decoder = ReconstructionDecoder(5, stride, 8, stop)
    assert decoder(torch.zeros(1, 5, 3, 4)).shape == (1, 3, 3 * stride // stop, 4 * stride // stop)
    assert STOP == 4


@pytest.fixture
def folder(tmp_path, monitor):
    """A checkpoint's folder with a monitor in it."""
    (tmp_path / WEIGHTS).write_bytes(b"the weights")
    save_monitor(tmp_path, monitor, **ABOUT)
    return tmp_path


@torch.inference_mode()
def test_out_and_in(folder, monitor):
    assert sorted(entry.name for entry in folder.iterdir()) == [META, TENSORS, WEIGHTS]
    read = load_monitor(folder)
    assert (read.shape, read.training) == (SHAPE, False)
    for one, other in zip(read(*seen()), monitor(*seen()), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    meta = json.loads((folder / META).read_text())
    assert (meta["held_out_frames"], meta["shape"]["channels"]) == (20, 6)


def test_none_is_no_error_and_one_is_kept(folder):
    with pytest.raises(SegError, match=r"monitor.json: exists already; give --overwrite"):
        claim_monitor(folder, overwrite=False)
    claim_monitor(folder, overwrite=True)
    (folder / META).unlink()
    claim_monitor(folder, overwrite=False)
    assert load_monitor(folder) is None


def other_weights(folder):
    (folder / WEIGHTS).write_bytes(b"trained further")


def other_tensors(folder):
    """What a kill leaves that comes after the tensors are replaced, before their description is."""
    old = (folder / META).read_text()
    save_monitor(folder, Monitor(SHAPE), **ABOUT)
    (folder / META).write_text(old)


def cut_short(folder):
    content = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(content[: len(content) // 2])


def gone(folder):
    (folder / TENSORS).unlink()


def no_json(folder):
    (folder / META).write_text("{")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            other_weights,
            "was fitted to other weights than the weights.safetensors beside it; run `seg calibrate` again",
        ),
        (other_tensors, "missing, damaged or of another monitor; run `seg calibrate` again, with --overwrite"),
        (cut_short, "missing, damaged or of another monitor; run `seg calibrate` again, with --overwrite"),
        (gone, "missing, damaged or of another monitor; run `seg calibrate` again, with --overwrite"),
        (no_json, r"monitor.json: cannot be read \(.*\); run `seg calibrate` again, with --overwrite"),
    ],
)
def test_what_does_not_belong_together_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(SegError, match=message) as caught:
        load_monitor(folder)
    assert "\n" not in str(caught.value)


def test_a_description_of_another_version_is_refused(folder):
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps({**meta, "steps": "many"}))
    with pytest.raises(SegError, match=r"monitor.json: steps"):
        load_monitor(folder)


def test_a_full_disk_leaves_the_old_one(folder, monitor, monkeypatch):
    before = {name: (folder / name).read_bytes() for name in (META, TENSORS)}

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seg.model.monitor.save_file", full)
    with pytest.raises(SegError, match=r"monitor.safetensors: cannot be written \(No space left"):
        save_monitor(folder, monitor, **ABOUT)
    assert {name: (folder / name).read_bytes() for name in (META, TENSORS)} == before
    assert sorted(entry.name for entry in folder.iterdir()) == [META, TENSORS, WEIGHTS]
