"""The peers of `bench.video`, each as its users write it: a program of its own that needs nothing of this project.

    python bench/video_peers.py naive MODEL CLIP OUT
    python bench/video_peers.py supervision MODEL CLIP OUT

It prints a line of JSON: frames, and the seconds from opening the clip to the finished file.
"""

import json
import sys
import time

import cv2
import numpy as np
import onnxruntime as ort

ALPHA = 0.5


def load(model):
    """The session, the network's size (height, width), and a palette with a colour for any id."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    _, height, width, _ = session.get_inputs()[0].shape
    return session, (height, width), np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


def segment(session, size, bgr_HWC):
    """Class ids at the frame's size. Normalisation and argmax are in the graph."""
    rgb_hwc = cv2.cvtColor(cv2.resize(bgr_HWC, size[::-1]), cv2.COLOR_BGR2RGB)
    classes_hw = session.run(None, {session.get_inputs()[0].name: rgb_hwc[None]})[0][0]
    return cv2.resize(classes_hw, bgr_HWC.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def naive(model, clip, out):
    """The loop everyone writes."""
    session, size, palette = load(model)
    start = time.perf_counter()
    capture = cv2.VideoCapture(clip)
    shape = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), shape)
    frames = 0
    while True:
        read, bgr_HWC = capture.read()
        if not read:
            break
        classes_HW = segment(session, size, bgr_HWC)
        writer.write(cv2.addWeighted(bgr_HWC, 1 - ALPHA, palette[classes_HW], ALPHA, 0))
        frames += 1
    capture.release()
    writer.release()
    return frames, time.perf_counter() - start


def with_supervision(model, clip, out):
    """`supervision.process_video` with its mask annotator."""
    import supervision as sv

    session, size, _ = load(model)
    annotator = sv.MaskAnnotator(opacity=ALPHA)
    frames = 0

    def callback(bgr_HWC, index):
        nonlocal frames
        frames += 1
        classes_HW = segment(session, size, bgr_HWC)
        ids = np.unique(classes_HW)
        ids = ids[ids > 0]  # the background stays bare
        if not len(ids):
            return bgr_HWC
        masks = classes_HW[None] == ids[:, None, None]
        found = sv.Detections(xyxy=sv.mask_to_xyxy(masks), mask=masks, class_id=ids.astype(int))
        return annotator.annotate(bgr_HWC, found)

    start = time.perf_counter()
    sv.process_video(source_path=clip, target_path=out, callback=callback)
    return frames, time.perf_counter() - start


if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    made, seconds = {"naive": naive, "supervision": with_supervision}[kind](*paths)
    print(json.dumps({"frames": made, "seconds": seconds}))
