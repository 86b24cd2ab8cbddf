"""index.html of `seg curate`: the chosen frames and where they stand among the others, in one file with nothing to load."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from infer.codes import Row
from infer.curate_map import CodeMap
from infer.segmenter import Picture
from seg.files import write_text

COLORS = ("#2456c8", "#d66018", "#1e8c50", "#a82c78", "#785ac8", "#96781a", "#468296", "#7a4a3a")
"""Of the groups, the largest first."""

WIDTH, HEIGHT, MARGIN = 960, 620, 24
THUMBNAIL = 240
"""Width of a picture on the page, in pixels; it leads to the whole frame."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #222 }
svg { background: #fafafb; border: 1px solid #ddd; width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif; paint-order: stroke; stroke: #fff; stroke-width: 3px }
ol { list-style: none; padding: 0; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)) }
li { font-size: 13px; line-height: 1.35; overflow-wrap: anywhere } li:target { outline: 3px solid #222; outline-offset: 4px }
img, .none { width: 100%; display: block; border-radius: 3px } .none { background: #eee; padding: 3rem 0; text-align: center }
table { border-collapse: collapse } td, th { padding: .1rem .8rem .1rem 0; text-align: right } th:first-child { text-align: left }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 50% } .note { color: #666 }
"""


@dataclass
class Entry:
    """One chosen frame: its row, why it was chosen, and, once it could be read, its file and its thumbnail."""

    row: Row
    why: str
    file: str = ""
    thumbnail: str = ""


def thumbnail(rgb_HWC: Picture) -> str:
    """The frame, small, as the address of an image inside a page (JPEG in base64)."""
    height = max(1, round(rgb_HWC.shape[0] * THUMBNAIL / rgb_HWC.shape[1]))
    small_HWC = cv2.resize(rgb_HWC, (THUMBNAIL, height), interpolation=cv2.INTER_AREA)
    bgr_HWC = cv2.cvtColor(np.asarray(small_HWC, dtype=np.uint8), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr_HWC, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def write_page(path: Path, title: str, said: str, entries: Sequence[Entry], codes: CodeMap) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title: its heading.
        said: a line on what was chosen from what.
        entries: the chosen frames, best first; each stands on the map.
        codes: the map.
    """
    at = {row: point for point, row in enumerate(codes.rows_P.tolist())}
    points = [at[entry.row.number] for entry in entries]
    items = "".join(
        _item(rank, entry, int(codes.group_P[point]))
        for rank, (entry, point) in enumerate(zip(entries, points, strict=True), start=1)
    )
    shown = f"{len(codes.rows_P):,} of {codes.total:,} frames" if len(codes.rows_P) < codes.total else "All frames"
    meaning = "its codes' two main directions"
    if codes.method == "t-SNE":
        meaning = "near points are alike; how far apart groups are means little"
    body = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(said)}.</p>
<h2>The codes</h2>
{_map(entries, points, codes)}
<p class="note">{shown}, by {codes.method} ({meaning}); colours are the groups of k-means, numbers the chosen frames.</p>
{_legend(points, codes)}
<h2>The frames</h2>
<ol>{items}</ol>
</body></html>
"""
    write_text(path, body)


def _map(entries: Sequence[Entry], points: Sequence[int], codes: CodeMap) -> str:
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{_color(group)}" fill-opacity=".45"/>'
        for (x, y), group in zip(map(_pixel, codes.xy_P2.tolist()), codes.group_P.tolist(), strict=True)
    )
    marks = ""
    for rank, (entry, point) in enumerate(zip(entries, points, strict=True), start=1):
        x, y = _pixel(codes.xy_P2[point].tolist())
        color = _color(int(codes.group_P[point]))
        marks += (
            f'<a href="#f{rank}"><circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{color}" stroke="#222" '
            f'stroke-width="1.5"/><title>{_where(entry.row)}</title>'
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{rank}</text></a>'
        )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="map of the codes">{dots}{marks}</svg>'


def _legend(points: Sequence[int], codes: CodeMap) -> str:
    drawn = np.bincount(codes.group_P)
    chosen = np.bincount(codes.group_P[list(points)], minlength=len(drawn))
    rows = "".join(
        f"<tr><th>{_swatch(group)} {group + 1}</th><td>{count:,}</td><td>{chosen[group]}</td></tr>"
        for group, count in enumerate(drawn.tolist())
    )
    return f"<table><tr><th>group</th><th>drawn</th><th>chosen</th></tr>{rows}</table>"


def _item(rank: int, entry: Entry, group: int) -> str:
    picture = '<span class="none">could not be read</span>'
    if entry.file:
        picture = f'<a href="{quote(entry.file)}"><img src="{entry.thumbnail}" alt="frame {rank}"></a>'
    about = f"{_swatch(group)} <b>{rank}</b>, row {entry.row.number}: {html.escape(entry.why)}<br>{_where(entry.row)}"
    return f'<li id="f{rank}" title="{html.escape(entry.row.source)}">{picture}{about}</li>'


def _where(row: Row) -> str:
    return f"{html.escape(Path(row.source).name)}, frame {row.index}, {row.time_s:.2f} s"


def _swatch(group: int) -> str:
    return f'<span class="swatch" style="background: {_color(group)}"></span>'


def _color(group: int) -> str:
    return COLORS[group % len(COLORS)]


def _pixel(xy: Sequence[float]) -> tuple[float, float]:
    return MARGIN + xy[0] * (WIDTH - 2 * MARGIN), MARGIN + xy[1] * (HEIGHT - 2 * MARGIN)
