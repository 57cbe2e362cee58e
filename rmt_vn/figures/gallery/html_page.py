"""The gallery in HTML: claims, pictures and evidence on one page that holds all it shows."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rmt_vn.figures.gallery.manifests import Row, Shown

_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Vanishing nodes: the figures</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<h1>Vanishing nodes: the figures</h1>
<p>The vanishing node indicator, VNI = (1/N²) Σ ρ<sub>ij</sub>², is the mean squared correlation of the N nodes of a
layer: 1/N if they are independent, 1 if they are all the same, so that 1/VNI is the effective number of nodes.</p>
<p>Each figure makes one claim. Points are samples: random networks that were drawn, or trained, and measured. Their
bars are two standard errors long in either direction, or 95% intervals where a probability is shown. Lines are theory,
or else they join the points of one setting; the text beside each picture says which. Below it are the numbers on which
the claim rests, and the range in which each of them must be for the claim to hold.</p>
<nav aria-label="Figures">
<ol>
{contents}
</ol>
</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""

_STYLE = """\
:root {
  color-scheme: light dark;
  --ink: #1c1e21; --faint: #5c6168; --ground: #f4f5f6; --sheet: #fff; --rule: #d9dce0;
  --link: #0b57a4; --bad: #a8200d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e6e9; --faint: #a2a8b0; --ground: #15171a; --sheet: #1e2125; --rule: #383d44;
    --link: #8cbcf5; --bad: #ff9c8a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 74rem; overflow-wrap: break-word;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
h1 { margin: 0 0 .75rem; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0 0 1rem; font-size: 1.2rem; line-height: 1.35; text-wrap: pretty; }
sub { line-height: 0; }
header p { margin: 0 0 .6rem; max-width: 46rem; }
.words p { margin: 0 0 .8rem; }
a { color: var(--link); }
nav ol {
  display: grid; gap: .3rem 1rem; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr));
  margin: 1.1rem 0 0; padding: 0; list-style: none;
}
nav span { color: var(--faint); font-size: .875rem; white-space: nowrap; }
article {
  display: grid; gap: 0 2rem; grid-template-columns: minmax(0, 1fr); margin-top: 1.25rem; padding: 1rem;
  background: var(--sheet); border: 1px solid var(--rule); border-radius: .5rem; scroll-margin-top: 1rem;
}
figure {
  align-self: start; justify-self: center; margin: 0 0 1rem; padding: .5rem; max-width: 30rem;
  background: #fff; border: 1px solid var(--rule); border-radius: .375rem;
}
img { display: block; width: 100%; height: auto; color: #1c1e21; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; line-height: 1.4; }
th, td { padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { min-width: 7rem; font-weight: inherit; }
tbody th::first-letter { text-transform: uppercase; }
thead th { color: var(--faint); font-size: .8rem; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.fails { color: var(--bad); font-weight: 600; }
dl {
  display: grid; gap: .2rem 1rem; grid-template-columns: max-content minmax(0, 1fr); margin: 1rem 0 0;
  font-size: .875rem;
}
dt { color: var(--faint); }
dd { margin: 0; }
dd a { margin-right: .6rem; }
code { font: .85em/1.5 ui-monospace, monospace; }
code span { white-space: nowrap; }
@media (min-width: 62rem) {
  article { grid-template-columns: minmax(0, 28rem) minmax(0, 1fr); padding: 1.25rem 1.5rem 1.5rem; }
  h2 { grid-column: 1 / -1; }
  figure { margin-bottom: 0; }
  h2 + .words { grid-column: 1 / -1; }
}
@media print { article { break-inside: avoid; } }
"""


def page(shown: Sequence[Shown], out: Path) -> str:
    """The page as text. Pictures are inside it; data, PDF and manifests are linked by their names alone.

    Parameters
    ----------
    shown : sequence of Shown
    out : Path
        The folder of the figures, out of which the pictures are read.
    """
    contents = "\n".join(map(_entry, shown))
    sections = "\n".join(_section(each, out) for each in shown)
    return _PAGE.format(style=_STYLE, contents=contents, sections=sections)


def _entry(each: Shown) -> str:
    return f'<li><a href="#{each.name}">{each.name}</a> <span>{each.verdict}</span></li>'


def _section(each: Shown, out: Path) -> str:
    rows = "\n".join(map(_row, each.rows))
    links = "\n".join(f'<a href="{file}">{file}</a>' for file in each.files)
    # Lines may end before an option, not within it.
    first, *options = escape(each.command).split(" --")
    command = " ".join([first, *(f"<span>--{option}</span>" for option in options)])
    return f"""\
<article id="{each.name}">
<h2>{escape(each.claim)}</h2>
{_picture(each, out)}<div class="words">
<p>{escape(each.caption)}</p>
<div class="scroll" role="region" aria-label="Evidence of {each.name}" tabindex="0">
<table>
<thead>
<tr><th scope="col">Evidence</th><th scope="col">Value</th><th scope="col">Needed</th><th scope="col">Claim</th></tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<dl>
<dt>Preset</dt><dd>{escape(each.preset)}</dd>
<dt>Parameters</dt><dd>{escape(each.parameters)}</dd>
<dt>Seed</dt><dd>{each.seed}</dd>
<dt>Versions</dt><dd>{escape(each.versions)}</dd>
<dt>Files</dt><dd>{links}</dd>
<dt>Make again</dt><dd><code>{command}</code></dd>
</dl>
</div>
</article>"""


def _picture(each: Shown, out: Path) -> str:
    if each.picture is None:
        return ""
    picture = out / each.picture
    try:
        content = base64.b64encode(picture.read_bytes()).decode("ascii")
    except OSError:  # As where there is none: the words are worth showing without it.
        return ""
    source = f"data:{_MEDIA_TYPES[picture.suffix]};base64,{content}"
    return f'<figure><img src="{source}" alt="{escape(each.claim)}"></figure>\n'


def _row(row: Row) -> str:
    verdict = "<td>✓ holds</td>" if row.holds else '<td class="fails">✗ fails</td>'
    return f'<tr><th scope="row">{escape(row.says)}</th><td>{row.value}</td><td>{row.needed}</td>{verdict}</tr>'
