"""report.html: one page that shows a run - curves, figures, the confusion matrix, pictures - with nothing to load."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from seg.classes import Ontology
from seg.files import write_text
from seg.metrics import Report
from train.run import RunDirectory

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) { background: #f4f4f6 }
svg { background: #fafafb; border: 1px solid #ddd; width: 100%; height: auto } img { max-width: 100% }
pre { background: #f4f4f6; padding: 1rem; overflow-x: auto } .swatch { display: inline-block; width: .8em; height: .8em }
"""


def write_report(run: RunDirectory, score_name: str, sections: Mapping[str, str]) -> None:
    """Write the page from `metrics.jsonl`, the newest pictures, and the last validation's sections (title -> HTML).

    Args:
        run: whose page it is.
        score_name: what each validation's `score` is.
        sections: the first stands at the top, the others below the curves.
    """
    records = run.records()
    losses = [(r["step"], r["loss"]) for r in records if r["kind"] == "train"]
    scores = [(r["step"], r["score"]) for r in records if r["kind"] == "val" and r["score"] is not None]
    pictures = sorted(run.samples.glob("epoch-*.png"))
    shown = f'<img src="samples/{pictures[-1].name}" alt="validation frames and answers">' if pictures else ""
    first, *others = [f"<h2>{html.escape(title)}</h2>{content}" for title, content in sections.items()]
    body = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(run.root.name)}</title>
<style>{STYLE}</style></head><body>
<h1>{html.escape(run.root.name)}</h1>
{first}
<h2>{html.escape(score_name)} by step</h2>{curve(scores)}
<h2>Training loss by step</h2>{curve(_smooth(losses))}
<h2>Validation frames</h2>{shown}
{"".join(others)}
<h2>Config</h2><pre>{html.escape(run.config_file.read_text(encoding="utf-8"))}</pre>
</body></html>
"""
    write_text(run.report, body)


def curve(points: Sequence[tuple[float, float]], width: int = 900, height: int = 260) -> str:
    """A line plot as SVG; empty where there are no points."""
    if not points:
        return "<p>nothing yet</p>"
    left, bottom, top = 60, 30, 12
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low, high = min(ys), max(ys)
    span_x, span_y = max(xs[-1] - xs[0], 1), max(high - low, 1e-9)

    def place(x: float, y: float) -> str:
        across = left + (x - xs[0]) / span_x * (width - left - 12)
        return f"{across:.1f},{height - bottom - (y - low) / span_y * (height - bottom - top):.1f}"

    line = " ".join(place(x, y) for x, y in points)
    marks = "".join(
        f'<text x="{left - 6}" y="{float(place(xs[0], y).split(",")[1]) + 4:.1f}" text-anchor="end" font-size="12">{y:.4g}</text>'
        for y in (low, (low + high) / 2, high)
    ) + "".join(
        f'<text x="{place(x, low).split(",")[0]}" y="{height - 8}" text-anchor="{anchor}" font-size="12">{x:g}</text>'
        for x, anchor in ((xs[0], "start"), (xs[-1], "end"))
    )
    dots = "".join(
        f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5" fill="#2456c8"/>'
        for p in line.split()[: 80 if len(points) <= 80 else 0]
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img"><polyline points="{line}" fill="none" stroke="#2456c8" '
        f'stroke-width="1.6"/>{dots}{marks}</svg>'
    )


def _smooth(points: Sequence[tuple[float, float]], parts: int = 300) -> list[tuple[float, float]]:
    """At most `parts` points, each the mean of its neighbours."""
    size = max(1, len(points) // parts)
    chunks = [points[i : i + size] for i in range(0, len(points), size)]
    return [(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks]


def figures_table(report: Report, ontology: Ontology) -> str:
    """IoU, precision and recall of each class, as HTML."""
    colors = dict(zip(ontology.names, ontology.palette_C3.tolist(), strict=True))
    rows = ""
    for name, unit in report.units.items():
        swatches = "".join(
            f'<span class="swatch" style="background: rgb{tuple(colors[part])}"></span> ' for part in name.split("|")
        )
        rows += f"<tr><td>{swatches}{html.escape(name)}</td>" + "".join(
            f"<td>{percent(value)}</td>" for value in (unit.iou, unit.precision, unit.recall)
        )
        rows += f"<td>{unit.label_pixels:,}</td></tr>"
    return (
        f"<p>mean IoU <b>{percent(report.mean_iou)}</b>, pixel accuracy {percent(report.pixel_accuracy)}</p>"
        f"<table><tr><th>class</th><th>IoU</th><th>precision</th><th>recall</th><th>pixels</th></tr>{rows}</table>"
    )


def confusion_table(report: Report) -> str:
    """Where the pixels of each label value went, as HTML."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in report.class_names)
    rows = ""
    for name, counts in zip(report.label_names, report.confusion, strict=True):
        total = sum(counts)
        if total:
            cells = "".join(
                f'<td style="background: rgba(36, 86, 200, {count / total:.2f})">{count / total:.1%}</td>'
                for count in counts
            )
            rows += f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def number_table(numbers: Mapping[str, float]) -> str:
    """Names and numbers, as HTML."""
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in numbers.items())
    return f"<table>{rows}</table>"


def percent(value: Any) -> str:
    """A share as a percentage with two decimals; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
