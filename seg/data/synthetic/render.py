"""Putting a scene together: sky, ground, objects from far to near, then the sensor."""

import math
from dataclasses import replace

import numpy as np

from seg.data.synthetic.camera import View
from seg.data.synthetic.canvas import U8, Canvas
from seg.data.synthetic.dice import Dice
from seg.data.synthetic.ground import Ground
from seg.data.synthetic.light import draw_bonnet, draw_sky, expose
from seg.data.synthetic.roadside import DRAW
from seg.data.synthetic.scene import Scene, Thing
from seg.data.synthetic.street import CHUNK, chunk

_AHEAD = 190.0  # metres of road with objects on it
_BEHIND = 20.0
_LONG = frozenset({"building", "barrier", "bank"})  # drawn along the road by themselves, from `s` to `s + length`


class Renderer:
    """Draws one scene at any time; keeps only the stretch of road in sight."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.scene, self.size = scene, size
        self.ground = Ground(scene)
        self.chunks: dict[int, list[Thing]] = {}

    def draw(self, time: float, tick: int) -> tuple[U8, U8]:
        """Picture (H, W, 3) uint8 RGB and label (H, W) uint8 at `time` seconds; `tick` numbers the frame's noise."""
        scene = self.scene
        s0 = scene.speed * time
        bounce = 0.0025 * (math.sin(time * 7.1) + 0.6 * math.sin(time * 11.3)) if time else 0.0
        view = View(scene, self.size, s0, bounce)
        canvas = Canvas(view, scene.light)
        draw_sky(canvas, scene)
        self.ground.draw(canvas)
        self._objects(canvas, self._things(s0) + self._moving(s0, time))
        if scene.bonnet:
            draw_bonnet(canvas, scene)
        return expose(canvas.rgb, scene, Dice(*scene.key, 9, tick)), canvas.label

    def _things(self, s0: float) -> list[Thing]:
        first, last = int(s0 // CHUNK), int((s0 + _AHEAD) // CHUNK)
        for gone in [k for k in self.chunks if k < first]:
            del self.chunks[gone]
        for k in range(first, last + 1):
            if k not in self.chunks:
                self.chunks[k] = chunk(self.scene, k)
        return [t for k in range(first, last + 1) for t in self.chunks[k]]

    def _moving(self, s0: float, time: float) -> list[Thing]:
        """Traffic now; who drops out behind or ahead comes back at the other end, where it is tiny."""
        speeds = {lane.u: lane.speed for lane in self.scene.lanes}
        found = []
        for t in self.scene.traffic:
            lane = min(speeds, key=lambda u: abs(u - t.u))
            drift = speeds[lane] * time + (2.0 * math.sin(time * 0.4) if lane == 0 else 0.0)
            rel = t.s + drift
            if time:
                rel = (rel + _BEHIND) % (_AHEAD + _BEHIND) - _BEHIND
            found.append(replace(t, s=s0 + rel))
        return found

    def _objects(self, canvas: Canvas, things: list[Thing]) -> None:
        view = canvas.view
        s = np.array([t.s for t in things])
        u = np.array([t.u for t in things])
        x, y, z, heading = view.place(s, u)
        y = y + np.array([self.scene.lift(t.u) for t in things])
        reach = np.array([t.length if t.kind in _LONG else 0.0 for t in things])
        depth = z + reach / 2
        depth[[t.kind == "bank" for t in things]] += 8.0  # what stands on a bank is drawn over it
        nearest = np.array(
            [-9.0 if t.kind in _LONG else -t.length / 2 + 1.0 if t.kind == "vehicle" else 1.5 for t in things]
        )
        margin = np.array([max(t.width, t.height, t.length, 4.0) for t in things])
        visible = (
            (z > nearest)
            & (z < _AHEAD + 10)
            & (np.abs(x) - margin < np.maximum(depth, 1) * view.width / view.focal / 2 * 1.1)
        )
        # A vehicle that the camera would be inside of, or touch, has no place in the picture.
        half = np.array([t.length / 2 if t.kind == "vehicle" else -99.0 for t in things])
        visible &= (z - half > 2.5) | (np.abs(x) > 2.0) | (half < 0)
        order = np.flatnonzero(visible)
        clips = view.clip_rows(s + reach)
        for i in order[np.argsort(-depth[order], kind="stable")]:
            t = things[i]
            DRAW[t.kind](canvas, t, (float(x[i]), float(y[i]), float(z[i]), float(heading[i])), int(clips[i]))
