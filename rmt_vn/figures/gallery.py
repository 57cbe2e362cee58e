"""The figures of a folder on one page: claims, pictures and evidence, in a file that needs no other."""

from __future__ import annotations

import base64
import json
import re
import shlex
import warnings
from html import escape
from pathlib import Path

from rmt_vn import figures
from rmt_vn.figures.evidence import from_json
from rmt_vn.whole_files import move_into, staging_folder

_MANIFEST = {
    "figure": str,
    "claim": str,
    "evidence": list,
    "preset": str,
    "parameters": dict,
    "seed": int,
    "files": list,
    "version": str,
    "python": str,
    "numpy": str,
}
_EVIDENCE = {"says": str, "value": float | None, "low": float | None, "high": float | None, "holds": bool}
_SHOWN = {".png": "image/png", ".svg": "image/svg+xml"}  # the first of them that is there

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
<p>Points are samples, with bars of two standard errors; lines are theory. Beside each picture are the numbers with
which its claim stands or falls.</p>
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


def write(out: Path) -> Path:
    """Write `index.html`, all figures of which a manifest lies in the folder `out`, whichever run made them.

    Pictures are inside the page; data, PDF and manifests are linked. No time is in it: equal figures give equal bytes.
    A manifest that cannot be read, or lacks fields, is left out with a warning.

    Parameters
    ----------
    out : Path
        A folder, as `rmt_vn.figures.output.make` fills it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OSError
        If `out` cannot be written.
    """
    contents, sections = [], []
    for name in figures.NAMES:
        path = out / f"{name}.json"
        try:
            manifest = _read(path)
            section = _section(manifest, out)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            warnings.warn(f"{path} is left out of the gallery: {error}", stacklevel=2)
            continue
        sections.append(section)
        contents.append(_entry(manifest))
    page = _PAGE.format(style=_STYLE, contents="\n".join(contents), sections="\n".join(sections))
    with staging_folder(out) as folder:
        staged = Path(folder) / "index.html"
        # A manifest may hold half of a surrogate pair, which no encoding has.
        staged.write_bytes(page.encode("utf-8", errors="replace"))
        return move_into(out, [staged])[0]


def _read(path: Path) -> dict:
    manifest = json.loads(path.read_text(encoding="utf-8"))
    _check(manifest, _MANIFEST)
    for record in manifest["evidence"]:
        _check(record, _EVIDENCE)
    if manifest["figure"] != path.stem:
        raise ValueError(f"figure must be {path.stem!r}, got {manifest['figure']!r}")
    return manifest


def _check(thing: object, fields: dict) -> None:
    if not isinstance(thing, dict):
        raise ValueError(f"must be an object with the fields {', '.join(fields)}, got {type(thing).__name__}")
    wrong = [name for name, kind in fields.items() if name not in thing or not isinstance(thing[name], kind)]
    if wrong:
        raise ValueError(f"absent or of a wrong type: {', '.join(wrong)}")


def _entry(manifest: dict) -> str:
    name, verdicts = manifest["figure"], [record["holds"] for record in manifest["evidence"]]
    held = f"{'✓' if all(verdicts) else '✗'} {sum(verdicts)} of {len(verdicts)}"
    return f'<li><a href="#{name}">{name}</a> <span>{held}</span></li>'


def _section(manifest: dict, out: Path) -> str:
    name, claim = manifest["figure"], escape(manifest["claim"])
    files = [file for file in manifest["files"] if _is_own(file, name) and (out / file).is_file()]
    rows = "\n".join(map(_row, manifest["evidence"]))
    links = "\n".join(f'<a href="{file}">{file}</a>' for file in [*files, f"{name}.json"])
    parameters = ", ".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in manifest["parameters"].items()
    )
    versions = f"rmt_vn {manifest['version']}, Python {manifest['python']}, numpy {manifest['numpy']}"
    command = f"python -m rmt_vn.figures {name} --preset {shlex.quote(manifest['preset'])} --seed {manifest['seed']}"
    # Lines may end before an option, not within it.
    first, *options = escape(command).split(" --")
    shown = " ".join([first, *(f"<span>--{option}</span>" for option in options)])
    return f"""\
<article id="{name}">
<h2>{claim}</h2>
{_picture(files, out, claim)}<div class="words">
<div class="scroll" role="region" aria-label="Evidence of {name}" tabindex="0">
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
<dt>Preset</dt><dd>{escape(manifest["preset"])}</dd>
<dt>Parameters</dt><dd>{escape(parameters)}</dd>
<dt>Seed</dt><dd>{manifest["seed"]}</dd>
<dt>Versions</dt><dd>{escape(versions)}</dd>
<dt>Files</dt><dd>{links}</dd>
<dt>Make again</dt><dd><code>{shown}</code></dd>
</dl>
</div>
</article>"""


def _is_own(file: object, name: str) -> bool:
    """Whether this is the name of a file that the figure writes, inside the folder: nothing else is read or linked."""
    return isinstance(file, str) and re.fullmatch(rf"{name}(_\w+)?\.\w+", file, re.ASCII) is not None


def _picture(files: list[str], out: Path, claim: str) -> str:
    for suffix, kind in _SHOWN.items():
        for file in files:
            if file.endswith(suffix):
                content = base64.b64encode((out / file).read_bytes()).decode("ascii")
                return f'<figure><img src="data:{kind};base64,{content}" alt="{claim}"></figure>\n'
    return ""


def _row(record: dict) -> str:
    evidence = from_json(record)
    value, expected = (text.replace("-", "−") for text in (f"{evidence.value:.3g}", evidence.expected))
    verdict = "<td>✓ holds</td>" if record["holds"] else '<td class="fails">✗ fails</td>'
    return f'<tr><th scope="row">{escape(evidence.says)}</th><td>{value}</td><td>{expected}</td>{verdict}</tr>'
