"""Images per second of the training loader against the usual pipeline, on 2048x1024 PNG frames: `python -m bench.loader`.

The usual pipeline is albumentations' as its documentation shows it, in a DataLoader with as many workers; its scales and
colours are those of `configs/train/cityscapes.yaml`. Ours is that config's whole augmentation: also rotation, blur,
noise and weather. Loaders take turns, several rounds long. Frames are real ones where SEG_DATA is set, else rendered.
All of them fit into memory here: where they do not, the cache's disk has to deliver up to 8 MB a frame.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seg.classes import load_ontology
from seg.config import FolderData, load_run_config
from seg.data.images import read_label, read_rgb, write_png
from seg.data.open import open_data
from seg.data.synthetic import SyntheticScenes
from seg.paths import configs
from train.batches import start_worker, training_batches
from train.plan import BatchPlan, PlannedBatches

HEIGHT, WIDTH = 1024, 2048
BATCH = 4
AUGMENT = load_run_config(configs() / "train/cityscapes.yaml").augment

Loader = Callable[[Path, int, int], Iterable[object]]
"""The folder of the frames, how many batches, how many workers -> the batches."""


def real_pairs(root: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of CARLA and Cityscapes; the latter with the former's labels, for the work is the same."""
    labels = [read_label(path) for path in sorted(root.glob("carla/train/*/*_labelIds.png"))]
    files = [*sorted(root.glob("carla/train/*/*_img.jpg")), *sorted(root.glob("cityscapes_frames/*.jpg"))]
    frames = [read_rgb(path) for path in files]
    return [(frame, labels[index % len(labels)]) for index, frame in enumerate(frames)]


def rendered_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scenes at half the size, enlarged, with a camera's noise: without it a PNG would be too easy to decode."""
    random = np.random.default_rng(0)
    scenes = SyntheticScenes((HEIGHT // 2, WIDTH // 2), seed=0)
    pairs = []
    for index in range(count):
        frame, label = scenes.frame(index)
        large = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + random.normal(0, 1.5, large.shape), 0, 255).astype(np.uint8)
        pairs.append((noisy, cv2.resize(label, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT)))
    return pairs


def write_frames(folder: Path, count: int) -> str:
    """`count` pairs of PNG files, all different; the name of their label set."""
    real = "SEG_DATA" in os.environ
    pairs = real_pairs(Path(os.environ["SEG_DATA"])) if real else rendered_pairs(4)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for index in range(count):
        turn, which = divmod(index, len(pairs))
        for part, array in zip(("images", "labels"), pairs[which], strict=True):
            mirrored = array[:, ::-1] if turn % 2 else array
            write_png(folder / part / f"{index}.png", np.roll(mirrored, 97 * turn, axis=1))
    return "carla" if real else "synthetic"


class UsualSet(Dataset[tuple[Tensor, Tensor]]):
    """What a tutorial on segmentation would write."""

    def __init__(self, folder: Path, samples: int) -> None:
        self.images = sorted((folder / "images").iterdir())
        self.masks = sorted((folder / "labels").iterdir())
        self.samples = samples
        height, width = AUGMENT.crop
        fill = max(height / HEIGHT, width / WIDTH)
        low, high = (fill * scale for scale in AUGMENT.scale)
        self.transform = A.Compose(
            [
                A.RandomScale(scale_limit=(low - 1, high - 1), p=1.0),
                A.PadIfNeeded(min_height=height, min_width=width, fill_mask=255),
                A.RandomCrop(height=height, width=width),
                A.HorizontalFlip(p=AUGMENT.flip),
                A.ColorJitter(
                    brightness=(0.6, 1.5),
                    contrast=(0.6, 1.5),
                    saturation=(0.5, 1.6),
                    hue=(-0.04, 0.04),
                    p=AUGMENT.color,
                ),
                A.Normalize(),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        item = index % len(self.images)
        image = cv2.cvtColor(cv2.imread(str(self.images[item])), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(self.masks[item]), cv2.IMREAD_UNCHANGED)
        transformed = self.transform(image=image, mask=mask)
        return transformed["image"], transformed["mask"]


def usual(folder: Path, batches: int, workers: int) -> Iterable[object]:
    """The usual pipeline; it too gets workers that compute on one thread each."""
    samples = UsualSet(folder, batches * BATCH)
    return DataLoader(samples, BATCH, shuffle=True, num_workers=workers, prefetch_factor=4, worker_init_fn=start_worker)


def ours(labels: str, cache: Path | None) -> Loader:
    """The training loader, as `seg train` runs it."""

    def batches_of(folder: Path, batches: int, workers: int) -> Iterable[object]:
        source = FolderData(
            kind="folder", root=str(folder), images="images/{name}.png", masks="labels/{name}.png", labels=labels
        )
        data = open_data([source], load_ontology("drive"), cache=str(cache) if cache else None)
        plan = BatchPlan(len(data), batches * BATCH, BATCH, seed=0)
        return training_batches(data, AUGMENT, PlannedBatches(plan, 0, batches, 0, 1), workers)

    return batches_of


def images_per_second(loader: Loader, folder: Path, batches: int, workers: int) -> float:
    """The rate once each worker has delivered one batch."""
    iterator = iter(loader(folder, batches, workers))
    for _ in range(workers):
        next(iterator)
    start = time.perf_counter()
    measured = sum(1 for _ in iterator)
    return measured * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Print images per second of each loader, and the ratio to the usual pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of all loaders in turn; medians are printed")
    parser.add_argument("--frames", type=int, default=24, help=f"in batches of {BATCH}")
    parser.add_argument("--passes", type=int, default=4, help="over the frames, in a round")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    once = args.frames // BATCH
    if once <= args.workers:
        parser.error(f"--frames: expected more than {BATCH * args.workers}, a batch for each worker, got {args.frames}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        labels = write_frames(folder, args.frames)
        cold, warm = folder / "cold", folder / "warm"
        loaders: dict[str, tuple[Loader, int]] = {
            "usual pipeline": (usual, args.passes * once),
            "ours, without cache": (ours(labels, None), args.passes * once),
            "ours, cache being filled": (ours(labels, cold), once),
            "ours, cache filled": (ours(labels, warm), args.passes * once),
        }
        images_per_second(ours(labels, warm), folder, once, args.workers)
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(args.rounds):
            shutil.rmtree(cold, ignore_errors=True)
            for name, (loader, batches) in loaders.items():
                rates[name].append(images_per_second(loader, folder, batches, args.workers))
    print(f"{WIDTH}x{HEIGHT} PNG frames, crops of {AUGMENT.crop[1]}x{AUGMENT.crop[0]}, batches of {BATCH},")
    print(f"{args.workers} workers; medians of {args.rounds} rounds, ratios within a round")
    for name, values in rates.items():
        ratios = [value / peer for value, peer in zip(values, rates["usual pipeline"], strict=True)]
        print(f"{name:26}{statistics.median(values):7.1f} images/s {statistics.median(ratios):6.2f} x")


if __name__ == "__main__":
    main()
