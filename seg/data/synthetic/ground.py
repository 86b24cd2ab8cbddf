"""The ground: every pixel below the horizon is traced back to the road plane and painted there.

Picture and label come from the same lateral and longitudinal coverage, so a marking's label is where its paint is.
R is rows of ground, W columns, L marking lines.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.synthetic import labels, textures
from seg.data.synthetic.camera import View
from seg.data.synthetic.canvas import Canvas
from seg.data.synthetic.scene import Line, Patch, Scene

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Grid = tuple[F32, F32, F32, F32]  # u and footprint in metres (R, W); s and its step per row (R,)

_BIN = 0.025  # metres per entry of the lateral tables
_REACH = 50.0  # metres to either side that the tables cover
_FADE = (0.4, 0.75)  # marking width in pixels where it starts to show, and where it shows fully
_SEEN = 0.6  # narrower than this many pixels a marking is not labelled
PAINT = frozenset({"crosswalk", "stop", "arrow"})


class Tables:
    """Lateral look-up tables of a scene: what lies at each `u`. Made once per scene."""

    def __init__(self, scene: Scene) -> None:
        count = int(2 * _REACH / _BIN)
        centres = (np.arange(count) + 0.5) * _BIN - _REACH
        self.kind = np.zeros(count, np.uint8)
        self.colour = np.zeros((count, 3), np.float32)
        self.texture = np.zeros((2, count), np.float32)
        for band in scene.bands:
            a, b = (int(np.clip((u + _REACH) / _BIN, 0, count)) for u in (band.u0, band.u1))
            self.kind[a:b] = band.label
            self.colour[a:b] = band.colour
            self.texture[0, a:b], self.texture[1, a:b] = band.grain, band.blotch
        road = self.kind == labels.ROAD  # wheel tracks have no hard borders
        soft = cv2.blur(self.colour, (1, 9), borderType=cv2.BORDER_REPLICATE)
        self.colour[road] = soft[road]
        self.lines = scene.lines
        at = np.array([line.u for line in scene.lines], np.float32)
        if len(at):
            order = at.argsort()
            middles = (at[order][1:] + at[order][:-1]) / 2
            self.nearest = order[np.searchsorted(middles, centres)].astype(np.int32)
            self.line_u = at
            self.line_near = at[self.nearest]
            self.widest = max(line.width for line in scene.lines) / 2
            self.line_half = np.array([line.width / 2 for line in scene.lines], np.float32)
            self.line_wear = np.array([line.wear for line in scene.lines], np.float32)
            self.line_rgb = np.array([line.colour for line in scene.lines], np.float32)


def dash_cover(lines: tuple[Line, ...], s_R: F32, step_R: F32) -> F32:
    """Share of each row's stretch of road [s - step/2, s + step/2] that every line paints (R, L)."""
    out = np.ones((len(s_R), len(lines)), np.float32)
    a, b = s_R - step_R / 2, s_R + step_R / 2
    for k, line in enumerate(lines):
        if line.gap > 0:
            period = line.dash + line.gap
            whole = [
                np.floor(t / period) * line.dash + np.minimum(t % period, line.dash)
                for t in (a + line.phase, b + line.phase)
            ]
            out[:, k] = (whole[1] - whole[0]) / np.maximum(step_R, 1e-6)
    return out


class Ground:
    """Draws the ground of one scene from any camera position."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.tables = Tables(scene)

    def draw(self, canvas: Canvas) -> None:
        """Paint every row from the horizon down, picture and label."""
        view, tables = canvas.view, self.tables
        cols = np.arange(view.width, dtype=np.float32) - np.float32(view.cx)
        across = (view.row_z / view.focal * view.row_cos).astype(np.float32)
        shift = (-view.row_x * view.row_cos).astype(np.float32)
        u = cols[None, :] * across[:, None] + shift[:, None]
        at = ((u + np.float32(_REACH)) * np.float32(1 / _BIN)).astype(np.int32)
        np.clip(at, 0, len(tables.kind) - 1, out=at)
        s = (view.row_s + view.s0).astype(np.float32)
        step = np.abs(np.gradient(view.row_s)).astype(np.float32)
        foot = cols[None, :] * np.gradient(across)[:, None] + np.gradient(shift)[:, None]
        foot *= foot
        foot += (across * across)[:, None]
        np.sqrt(foot, out=foot)
        kind = tables.kind.take(at)
        rgb = tables.colour.take(at, axis=0)
        tone = self._texture(view, u, across, step, at)
        rgb *= self._patches_tone(tone, u, s, kind)[..., None]
        grid = (u, foot, s, step)
        self._paint_lines(rgb, kind, grid, at)
        for patch in self.scene.patches:
            if patch.kind in PAINT:
                self._paint_patch(patch, rgb, kind, grid)
        self._light(canvas, rgb, u, s, across)
        canvas.rgb[view.top :] = cv2.convertScaleAbs(rgb.reshape(len(s), -1)).reshape(rgb.shape)
        canvas.label[view.top :] = kind

    def _texture(self, view: View, u: F32, across: F32, step: F32, at: I32) -> F32:
        """Relative brightness (R, W) of the surface: fine and coarse noise fixed to the road, faded with distance."""
        tone = np.ones_like(u)
        near = int((step < 0.5).argmax())
        for which, (noise, dense, first) in enumerate(
            ((textures.grain(), (24.0, 14.0), near), (textures.blotch(), (3.0, 0.6), 0))
        ):
            # Row coordinates wrap at the texture's period, so that they stay small however far the car has driven.
            along = (np.mod(view.s0 * dense[1], textures.SIDE) + view.row_s[first:] * dense[1]).astype(np.float32)
            y = np.repeat(along[:, None], u.shape[1], 1)
            x = u[first:] * np.float32(dense[0])
            value: F32 = np.asarray(cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)
            fade = 1 / (1 + (across[first:] * dense[0] * 0.9) ** 2 + (step[first:] * dense[1] * 0.35) ** 2)
            value *= fade.astype(np.float32)[:, None]
            value *= self.tables.texture[which].take(at[first:])
            tone[first:] += value
        return np.maximum(tone, 0.3, out=tone)

    def _patches_tone(self, tone: F32, u: F32, s: F32, kind: NDArray[np.uint8]) -> F32:
        for patch in self.scene.patches:
            if patch.kind in PAINT:
                continue
            rows = np.flatnonzero(np.mod(s - patch.s, patch.period) < patch.length)
            if len(rows):
                inside = (u[rows] > patch.u0) & (u[rows] < patch.u1) & (kind[rows] == labels.ROAD)
                tone[rows] *= np.where(inside, np.float32(1 + patch.strength), np.float32(1))
        return tone

    def _paint_lines(self, rgb: F32, kind: NDArray[np.uint8], grid: Grid, at: I32) -> None:
        """Lay the longitudinal markings over the ground colour and set their labels, where there are any."""
        tables = self.tables
        if not tables.lines:
            return
        u, foot, s, step = grid
        near = np.flatnonzero(np.abs(u - tables.line_near.take(at)) < foot + tables.widest)
        line = tables.nearest.take(at.ravel()[near])
        half, f = tables.line_half[line], foot.ravel()[near]
        pixels = 2 * half / f  # width of the marking in pixels
        # A line thinner than a pixel is drawn one pixel wide and paler, so that it never breaks into specks.
        wide = np.maximum(half, f * 0.5)
        cover = np.clip((wide - np.abs(u.ravel()[near] - tables.line_u[line])) / f + 0.5, 0, 1)
        cover *= dash_cover(tables.lines, s, step)[near // u.shape[1], line]
        flat = kind.reshape(-1)
        on_road = flat[near] == labels.ROAD
        flat[near[on_road & (cover >= 0.5) & (pixels >= _SEEN)]] = labels.LANE_MARKING
        shown = np.clip((pixels - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
        alpha = cover * shown * (1 - tables.line_wear[line] * 0.55) * on_road
        under = rgb.reshape(-1, 3)
        under[near] += (tables.line_rgb[line] - under[near]) * alpha[:, None]

    def _paint_patch(self, patch: Patch, rgb: F32, kind: NDArray[np.uint8], grid: Grid) -> None:
        """Crossings, stop lines and arrows."""
        u, foot, s, step = grid
        t = np.mod(s - patch.s + step / 2, patch.period)
        # Overlap of each row's stretch with the patch, as a share of the row.
        along = np.clip(np.minimum(t, patch.length) - np.maximum(t - step, 0), 0, None) / step
        rows = np.flatnonzero((along > 0.02) & (step < patch.length * 1.6))
        if not len(rows):
            return
        ur, fr = u[rows], foot[rows]
        if patch.kind == "crosswalk":
            pitch = 2 * patch.strength
            away = np.abs(np.mod(ur - patch.u0, pitch) - pitch / 2)
            cover = np.clip((pitch / 4 - away) / fr + 0.5, 0, 1) * ((ur > patch.u0) & (ur < patch.u1))
        elif patch.kind == "stop":
            cover = np.clip((ur - patch.u0) / fr + 0.5, 0, 1) * np.clip((patch.u1 - ur) / fr + 0.5, 0, 1)
        else:
            share = t[rows] / patch.length  # a stem, then a head that narrows to a point
            half = np.where(share < 0.6, 0.09, 0.4 * np.clip((1 - share) / 0.4, 0, 1)).astype(np.float32)[:, None]
            cover = np.clip((half - np.abs(ur - (patch.u0 + patch.u1) / 2)) / fr + 0.5, 0, 1)
            cover *= np.minimum(2 * half / fr, 1)
        cover = (cover * along[rows][:, None]).astype(np.float32)
        road = (kind[rows] == labels.ROAD) | (kind[rows] == labels.LANE_MARKING)
        cover *= road
        paint = np.array(patch.colour, np.float32)
        rgb[rows] += (paint - rgb[rows]) * cover[..., None]
        part = kind[rows]
        part[cover >= 0.5] = labels.LANE_MARKING
        kind[rows] = part

    def _light(self, canvas: Canvas, rgb: F32, u: F32, s: F32, across: F32) -> None:
        """Sunlight, cast shadows of trees and houses, wetness and haze, in place."""
        light, view = canvas.light, canvas.view
        gain = np.full_like(u, canvas.top)
        if light.shade > 0:
            lean = light.sun[0] / max(light.sun[1], 0.2)
            y = np.mod(view.s0, textures.SIDE) + view.row_s[:, None] + u * lean
            cast = cv2.remap(
                textures.blotch(),
                u * np.float32(1.1),
                y.astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            edge = np.float32(1.6 - 2.0 * light.shade)
            if self.scene.place == "urban":  # house fronts: a shadow that reaches a certain way across the street
                reach = (light.shade - 0.5) * 12
                cast = np.sign(lean or 1.0) * (u - np.float32(reach)) * 2 + np.floor(np.mod(s / 17, 2.7))[:, None] - 1
                edge = np.float32(0.0)
            soft = 1 / (0.25 + across * 4)[:, None]
            dark = np.clip((cast - edge) * soft + 0.5, 0, 1)
            gain *= 1 - dark * np.float32(light.direct * 0.76)
        t = np.exp(-view.row_z / light.visibility).astype(np.float32)[:, None]
        air = np.array(light.haze, np.float32) * (1 - t)
        if light.wet:
            share = (light.wet * 0.6 * np.clip(view.row_z / 60, 0.12, 0.75)).astype(np.float32)[:, None]
            gain *= 1 - share
            air += np.array(light.sky_low, np.float32) * (0.8 * share * t)
        gain *= t
        rgb *= gain[..., None]
        rgb += air[:, None, :]
