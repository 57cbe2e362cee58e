"""The gallery in Markdown, which a code host shows as the page of the folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from rmt_vn.figures.gallery.manifests import Shown

# By this the page is known to be one that may be written anew.
FIRST_LINE = "<!-- Written by python -m rmt_vn.figures from the manifests in this folder; edits are lost. -->"

_HEAD = f"""\
{FIRST_LINE}
# Vanishing nodes: the figures

The **vanishing node indicator** of a layer with N nodes is VNI = (1/N²) Σ ρ<sub>ij</sub>², where ρ<sub>ij</sub> is the
correlation coefficient of nodes i and j over the inputs. It is 1/N if the nodes are independent and 1 if they are all
the same up to a factor. Its inverse, 1/VNI, is the **effective number of nodes**.

Each figure makes one claim. Points are samples: random networks that were drawn, or trained, and measured. Their bars
are two standard errors long in either direction, or 95% intervals where a probability is shown. Lines are theory, or
else they join the points of one setting; the text below each picture says which. The statements of the theory are
called S1 to S8, and the README of the project says what each of them is. Then follow the numbers on which the claim
rests, and the range in which each of them must be for the claim to hold.

## Contents
"""

# All that Markdown, HTML or a formula in Markdown could take for a command within a line.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~$&]")
# Where a code host would make a link or a picture out of bare text: addresses, names of users, issues, emoji. Renderers
# look for these before or after they take backslashes away; so a word joiner, which is not seen, follows as well.
_LINK_STARTS = re.compile(r"(?<=\w)\.(?=[^\W\d])|:(?=//|\w+:)|@|#(?=\d)")
_WORD_JOINER = "\u2060"


def page(shown: Sequence[Shown]) -> str:
    """The page as text. Files are linked by their names alone, so it belongs into the folder where they lie."""
    contents = "\n".join(f"- [{each.name}](#{each.name}): {_text(each.claim)} ({each.verdict})" for each in shown)
    return "\n".join([_HEAD, contents, *map(_section, shown)])


def _section(each: Shown) -> str:
    rows = "\n".join(
        f"| {_text(row.says)} | {row.value} | {row.needed} | {'✓ holds' if row.holds else '✗ fails'} |"
        for row in each.rows
    )
    links = ", ".join(f"[{file}]({file})" for file in each.files)
    # Text that anyone may have written never begins a line: there it could be a heading or a list.
    return f"""
## {each.name}

**{_text(each.claim)}**

{_picture(each)}What is shown: {_text(each.caption)}

| evidence | value | needed | claim |
|---|---|---|---|
{rows}

- Preset: {_text(each.preset)}; seed: {each.seed}
- Files: {links}
- Make it again: {_code(each.command)}"""


def _picture(each: Shown) -> str:
    if each.picture is None:
        return ""
    return f'<img src="{each.picture}" width="480" alt="{escape(_one_line(each.claim))}">\n\n'


def _text(text: str) -> str:
    """Text that is shown as it is, whatever is in it."""
    escaped = _SPECIAL.sub(lambda found: "\\" + found[0], _one_line(text))
    return _LINK_STARTS.sub(lambda found: "\\" + found[0] + _WORD_JOINER, escaped)


def _code(text: str) -> str:
    """The same in the type of code: nothing ends it but as many backticks as began it."""
    text = _one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"{fence}{text}{fence}"


def _one_line(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())
