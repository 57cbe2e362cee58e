"""A report in HTML: a part of a notebook, and a page of its own that holds all it shows."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from rmt_vn.program import printable
from rmt_vn.reports.layer import LayerReport
from rmt_vn.reports.text import rank
from rmt_vn.results import readable

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{page_style}{style}</style>
</head>
<body>
<h1>{title}</h1>
{picture}{fragment}
<h2>What the numbers are</h2>
<dl>
{terms}
</dl>
</body>
</html>
"""

# Media, and for each of them inches and whether its surroundings are dark; the last is for all others.
PICTURES = {
    "(max-width: 40rem) and (prefers-color-scheme: dark)": (3.5, True),
    "(max-width: 40rem)": (3.5, False),
    "(prefers-color-scheme: dark)": (8.0, True),
    "all": (8.0, False),
}

# What is explained of each column.
_TERMS = {
    "effective": (
        "Effective nodes",
        "1/VNI, where VNI is the mean of the squared correlation of two nodes over all pairs of a layer's nodes: all "
        "nodes if they are uncorrelated, one if each determines all the others. Below is a 95% confidence interval "
        "over samples of inputs.",
    ),
    "fresh": (
        "Fresh networks",
        "The same architecture, its weights drawn anew, on the same inputs: 1/VNI of their mean VNI, and the interval "
        "in which one more of them lies with a probability of 95%.",
    ),
    "rank": (
        "Rank",
        "How many fresh networks have fewer effective nodes than this network. Of n + 1 fresh networks each has each "
        "rank with the same probability; and since all see the same inputs, the rank has no error of sampling.",
    ),
    "law": (
        "Law",
        "What theory says of fresh fully connected networks over inputs in a small ball round a point (S3 or S4): what "
        "depth and width do by themselves. It knows nothing of the data.",
    ),
    "constant": ("Constant", "Nodes that do not vary over the samples; they are left out of the effective nodes."),
    "dead": ("Dead", "Constant nodes that are zero in all samples."),
    "duplicates": (
        "Duplicates",
        "Nodes that could be left out, since another one follows them with a correlation of 0.99 or more, or −0.99 or "
        "less.",
    ),
}

# Colours come from the surroundings, light or dark, so that a notebook needs no variables of ours.
_STYLE = """\
.rmt-vn { line-height: 1.45; overflow-wrap: break-word; }
.rmt-vn p { margin: 0 0 .7rem; max-width: 46rem; }
.rmt-vn table { width: 100%; border-collapse: collapse; font-size: .875em; font-variant-numeric: tabular-nums; }
.rmt-vn th, .rmt-vn td {
  padding: .35rem .9rem .35rem 0; text-align: right; vertical-align: top; white-space: nowrap; background: none;
  border: 0; border-bottom: 1px solid rgb(128 128 128 / .35);
}
.rmt-vn th { font-weight: 600; }
.rmt-vn thead th { white-space: normal; vertical-align: bottom; }
.rmt-vn thead small { display: block; font-weight: 400; opacity: .75; }
.rmt-vn tbody tr { background: none; }
.rmt-vn .name, .rmt-vn .says { text-align: left; white-space: normal; }
.rmt-vn .name { overflow-wrap: anywhere; min-width: 6rem; }
.rmt-vn .says { padding-right: 0; min-width: 16rem; width: 40%; }
.rmt-vn .number { opacity: .65; width: 1%; }
.rmt-vn .range { display: block; opacity: .75; }
.rmt-vn .out { font-weight: 600; }
@media (max-width: 66rem) {
  .rmt-vn thead { display: none; }
  .rmt-vn table, .rmt-vn tbody { display: block; }
  .rmt-vn tr {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .15rem 1rem; padding: .7rem 0;
    border-bottom: 1px solid rgb(128 128 128 / .35);
  }
  .rmt-vn th, .rmt-vn td { display: block; padding: 0; border: 0; text-align: left; white-space: normal; }
  .rmt-vn .name, .rmt-vn .says { grid-column: 1 / -1; width: auto; min-width: 0; }
  .rmt-vn .name { font-size: 1rem; }
  .rmt-vn td[data-head]::before { content: attr(data-head) ": "; opacity: .75; }
  .rmt-vn .range { display: inline; }
  .rmt-vn .none, .rmt-vn .number { display: none; }
  .rmt-vn .name::before { content: attr(data-number) ". "; font-weight: 400; opacity: .65; }
}
"""

_PAGE_STYLE = """\
:root { color-scheme: light dark; --ink: #1c1e21; --ground: #fff; --rule: #d9dce0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --ground: #17191c; --rule: #383d44; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 74rem; overflow-wrap: break-word;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
h1 { margin: 0 0 1rem; font-size: 1.6rem; line-height: 1.2; text-wrap: balance; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
figure { margin: 0 0 1.5rem; }
figure img { display: block; width: 100%; height: auto; }
dl { margin: 0; max-width: 46rem; }
dt { font-weight: 600; }
dd { margin: 0 0 .7rem; }
@media print { tr { break-inside: avoid; } }
"""


def page(
    layers: Sequence[LayerReport], told: Sequence[str], notes: Sequence[str], pictures: Mapping[str, bytes]
) -> str:
    """A page that needs nothing else: no script, no other file.

    Parameters
    ----------
    layers, told, notes
        As for `rmt_vn.reports.text.as_text`.
    pictures : mapping of str to bytes
        Pictures as SVG by the media of `PICTURES`; empty if there is none.
    """
    has_fresh = any(each.fresh is not None for each in layers)
    shown = _shown(layers)
    terms = "\n".join(f"<dt>{term}</dt>\n<dd>{what}</dd>" for head, (term, what) in _TERMS.items() if head in shown)
    return _PAGE.format(
        title="Effective nodes, beside those of fresh networks" if has_fresh else "Effective nodes",
        page_style=_PAGE_STYLE,
        style=_STYLE,
        picture=_figure(pictures) if pictures else "",
        fragment=_content(layers, told, notes),
        terms=terms,
    )


def fragment(layers: Sequence[LayerReport], told: Sequence[str], notes: Sequence[str]) -> str:
    """A part of a notebook. Parameters as `page`."""
    return f"<style>\n{_STYLE}</style>\n{_content(layers, told, notes)}"


def _figure(pictures: Mapping[str, bytes]) -> str:
    data = {
        media: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}" for media, svg in pictures.items()
    }
    alt = "Effective nodes of each layer, and where fresh networks lie; the table below has the same numbers"
    image = f'<img src="{data.pop("all")}" alt="{alt}">'
    sources = "".join(f'<source media="{media}" srcset="{each}">' for media, each in data.items())
    return f"<figure><picture>{sources}{image}</picture></figure>\n"


def _content(layers: Sequence[LayerReport], told: Sequence[str], notes: Sequence[str]) -> str:
    words = "\n".join(f"<p>{_headed(each)}</p>" for each in told)
    body = "\n".join(_row(number, each, layers) for number, each in enumerate(layers, 1))
    below = "\n".join(f"<p>{_text(each)}</p>" for each in notes)
    return f"""\
<div class="rmt-vn">
{words}
<table>
<thead><tr>
<th class="number"></th><th class="name">layer</th>{_heads(layers)}<th class="says">in words</th>
</tr></thead>
<tbody>
{body}
</tbody>
</table>
{below}
</div>"""


def _headed(sentence: str) -> str:
    """A sentence whose subject is before a colon: "Data: …"."""
    head, colon, rest = sentence.partition(": ")
    return f"<strong>{_text(head)}:</strong> {_text(rest)}" if colon and " " not in head else _text(sentence)


# What no layer has is no column.
_COLUMNS = {
    "nodes": ("", lambda each: True),
    "effective": ("95% interval", lambda each: True),
    "fresh": ("middle 95%", lambda each: each.fresh is not None),
    "rank": ("", lambda each: each.fresh is not None),
    "law": ("small ball", lambda each: each.law_vni is not None),
    "constant": ("", lambda each: bool(each.measured and each.measured.constant_nodes)),
    "dead": ("", lambda each: bool(each.dead_nodes)),
    "duplicates": ("", lambda each: bool(each.near_duplicates)),
}


def _shown(layers: Sequence[LayerReport]) -> list[str]:
    return [head for head, (_, has) in _COLUMNS.items() if any(map(has, layers))]


def _heads(layers: Sequence[LayerReport]) -> str:
    return "".join(
        f"<th>{head}{f'<small>{_COLUMNS[head][0]}</small>' if _COLUMNS[head][0] else ''}</th>"
        for head in _shown(layers)
    )


def _row(number: int, each: LayerReport, layers: Sequence[LayerReport]) -> str:
    shown = _shown(layers)
    name = (
        f'<td class="number">{number}</td><th scope="row" class="name" data-number="{number}">'
        f"{_text(each.name).replace('.', '.<wbr>') or '(the model)'}</th>"
    )
    says = _text(each.sentence) + (f" Note: {_text(each.note)}." if each.note else "")
    last = f'<td class="says">{says}</td>'
    if each.measured is None:
        return f'<tr>{name}<td class="none" colspan="{len(shown)}"></td>{last}</tr>'
    cells = _cells(each)
    return f"<tr>{name}{''.join(cells[head] for head in shown)}{last}</tr>"


def _cells(each: LayerReport) -> dict[str, str]:
    assert each.measured is not None and each.interval is not None
    fresh = each.fresh
    is_out = fresh is not None and (fresh.is_below_all or fresh.is_above_all)
    texts = {
        "nodes": str(each.measured.n_nodes),
        "effective": _ranged(each.measured.effective_nodes, *each.interval),
        "fresh": "" if fresh is None else _ranged(fresh.mean, fresh.low, fresh.high),
        "rank": "" if fresh is None else rank(fresh),
        "law": "" if each.law_vni is None else readable(1 / each.law_vni),
        "constant": str(each.measured.constant_nodes),
        "dead": str(each.dead_nodes),
        "duplicates": "" if each.near_duplicates is None else str(each.near_duplicates),
    }
    return {
        head: f'<td data-head="{head}"{_classes(text, is_out and head == "rank")}>{text}</td>'
        for head, text in texts.items()
    }


def _classes(text: str, is_out: bool) -> str:
    return ' class="none"' if text in ("", "0") else ' class="out"' if is_out else ""


def _ranged(value: float, low: float, high: float) -> str:
    ends = f' <span class="range">{readable(low)}–{readable(high)}</span>' if low == low else ""
    return f"{readable(value)}{ends}"


def _text(text: str) -> str:
    return escape(printable(text))
