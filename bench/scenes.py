"""Frames per second of the synthetic renderer over two processes: `python -m bench.scenes`."""

import argparse
import time
from multiprocessing import get_context

import cv2

from seg.data.synthetic import SyntheticScenes


def render(job: tuple[int, int, int, int]) -> float:
    """Render frames [first, first + count) on one thread; seconds taken, warm-up left out."""
    height, width, first, count = job
    cv2.setNumThreads(1)
    scenes = SyntheticScenes((height, width), seed=0)
    for index in range(3):  # textures are made once per process
        scenes.frame(first + index)
    start = time.perf_counter()
    for index in range(first, first + count):
        scenes.frame(index)
    return time.perf_counter() - start


def main() -> None:
    """Print frames per second for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--frames", type=int, default=200, help="per process")
    parser.add_argument("--sizes", nargs="+", default=["512x256", "384x192", "256x128"], help="WIDTHxHEIGHT")
    args = parser.parse_args()
    with get_context("spawn").Pool(args.processes) as pool:
        for size in args.sizes:
            width, height = (int(v) for v in size.split("x"))
            jobs = [(height, width, 10_000 * k, args.frames) for k in range(args.processes)]
            seconds = pool.map(render, jobs, chunksize=1)
            rate = sum(args.frames / s for s in seconds)
            each = 1000 * sum(seconds) / len(seconds) / args.frames
            print(f"{size}: {rate:.1f} frames/s over {args.processes} processes, {each:.1f} ms a frame in each")


if __name__ == "__main__":
    main()
