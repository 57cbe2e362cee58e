"""Reports as they are shown: in 80 columns, in a page that needs nothing else, and in a picture."""

import base64
import itertools
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from rmt_vn import Baseline, measures
from rmt_vn.figures.measured_layers import picture_of_layers
from rmt_vn.reports import FreshNetworks, LayerReport, Report
from rmt_vn.reports.html_page import PICTURES, fragment, page
from rmt_vn.reports.text import as_text

MEASURED = measures.vni(np.random.default_rng(0).standard_normal((100, 8)))
HOSTILE = [
    "<script>alert(1)</script>",
    'a" onload="x',
    "</style><img src=http://x>",
    "\x1b[2Jred",
    "a\nb",
    "\u202egnp",
    "&lt;",
    "",
    "x" * 300,
    "'",
]


def row(name, value=0.2, **fields):
    fresh = FreshNetworks(6.2, 4.1, 8.05, fields.pop("fewer", 3), 20)
    return LayerReport(name, replace(MEASURED, value=value, effective_nodes=1 / value), fresh=fresh, **fields)


def rows(names, **fields):
    return [row(name, **fields) for name in names]


GPT = [f"transformer.h.{k}.{part}" for k in range(30) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c")]


# --- a terminal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["0", "2"], GPT, HOSTILE], ids=["short", "long", "hostile"])
def test_no_line_has_more_than_80_columns(names):
    wide = replace(MEASURED, n_nodes=12288, constant_nodes=1000, value=1 / 4567, effective_nodes=4567.0)
    many = FreshNetworks(5432.1, 4321.0, 6789.9, 12.5, 100)
    for law, copies, dead in itertools.product((None, 0.001), (0, 999), (0, 17)):
        table = [
            LayerReport(name, wide, fresh=many, law_vni=law, near_duplicates=copies, dead_nodes=dead) for name in names
        ]
        table.append(LayerReport("gone", None, "it is told at some length, with a long word " + "w" * 60 + ", why not"))
        lines = as_text(table, ["Data: " + "word " * 40], ["note " * 30]).splitlines()
        assert max(map(len, lines)) <= 80
        assert all(line.isprintable() for line in lines)


def test_each_layer_is_a_line_whose_name_can_be_told_from_the_others():
    lines = as_text(rows(GPT), [], []).splitlines()
    names = [line.split()[0] for line in lines[1 : len(GPT) + 1]]
    assert len(set(names)) == len(GPT)
    assert all(full.endswith(name.removeprefix("…")) for full, name in zip(GPT, names, strict=True))


def test_a_table_shows_its_numbers_and_explains_its_heads():
    told = as_text([row("first"), row("second", law_vni=0.05, near_duplicates=2, dead_nodes=1)], [], [])
    head, first, second, *legend = told.splitlines()
    assert head.split() == ["layer", "nodes", "effective", "(95%)", "fresh", "(95%)", "rank", "law", "dead", "dup"]
    assert first.split()[:3] == ["first", "8", "5.00"] and first.split()[4:] == [
        "6.20",
        "(4.10-8.05)",
        "3/20",
        "-",
        "0",
        "-",
    ]
    assert second.split()[-3:] == ["20.0", "1", "2"]
    for word in ("fresh", "rank", "law", "dead", "dup"):
        assert re.search(rf"\b{word}: ", " ".join(legend))
    assert "const: " not in told


def test_long_names_leave_room_for_one_column_of_idle_nodes():
    constant = replace(MEASURED, constant_nodes=3)
    told = as_text([replace(row("transformer.h.0.mlp.c_fc"), measured=constant, near_duplicates=2)], [], [])
    head, line = told.splitlines()[:2]
    assert (
        head.split()[-2:] == ["rank", "idle"]
        and line.split()[0] == "transformer.h.0.mlp.c_fc"
        and line.split()[-1] == "5"
    )
    assert "idle: nodes that" in " ".join(told.split())


def test_notes_are_below():
    told = as_text(
        [row("a", note="of 3 of its nodes"), replace(row("b"), fresh=None, no_fresh="other nodes")], [], ["all"]
    )
    assert told.splitlines()[-3:] == ["all", "a: of 3 of its nodes", "b: no comparison, other nodes"]


# --- a page -----------------------------------------------------------------------------------------------------------

VOID = {"meta", "link", "img", "source", "wbr"}


class Reader(HTMLParser):
    """Reads a page as a browser does, and asserts that its tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    def all_of(self, tag):
        return [attributes for each, attributes in self.tags if each == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page as a user has it, of layers with hostile names."""
    table = [*rows(HOSTILE), LayerReport("bad", None, "its <b>values</b> are NaN"), row("out", fewer=0)]
    names = [each.name for each in table if each.fresh is not None]
    values = np.random.default_rng(1).random((20, len(names))).T
    null = Baseline(tuple(names), dict(zip(names, values, strict=True)), dict.fromkeys(names, 8), {})
    told = Report(tuple(table), ("a <note>",), null)
    file = tmp_path_factory.mktemp("page") / "told.html"
    told.to_html(file)
    return told, file.read_text("utf-8")


def test_a_page_needs_nothing_else(written):
    _, text = written
    read = Reader(text)
    assert not read.all_of("script") and not [name for _, each in read.tags for name in each if name.startswith("on")]
    sources = [each.get("src") or each.get("srcset") or each.get("href") for _, each in read.tags]
    assert all(each.startswith("data:") for each in sources if each)
    assert "url(" not in text and "@import" not in text
    policy = [each["content"] for each in read.all_of("meta") if "http-equiv" in each]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_names_in_a_page_are_text(written):
    _, text = written
    shown = "".join(Reader(text).texts)
    for name in HOSTILE[:3]:
        assert name in shown
    assert "\x1b" not in text and "\u202e" not in text
    assert "its <b>values</b> are NaN" in shown and "a <note>" in shown


def test_a_page_has_all_layers_and_all_sentences(written):
    told, text = written
    shown = "".join(Reader(text).texts)
    assert text.count('<th scope="row"') == len(told.layers)
    for each in told.layers:
        assert each.sentence in shown
    for sentence in told.verdict:
        assert sentence in shown
    assert text.count('class="out"') == 1


def test_a_page_has_pictures_for_wide_and_narrow_light_and_dark(written):
    _, text = written
    read = Reader(text)
    media = [each["media"] for each in read.all_of("source")]
    assert [*media, "all"] == list(PICTURES) and len(read.all_of("img")) == 1 and read.all_of("img")[0]["alt"]
    pictures = [each.get("srcset") or each["src"] for tag, each in read.tags if tag in ("source", "img")]
    decoded = [base64.b64decode(each.partition("base64,")[2]) for each in pictures]
    assert len(set(decoded)) == 4 and all(each.startswith(b"<?xml") for each in decoded)
    assert "prefers-color-scheme: dark" in text and 'name="color-scheme" content="light dark"' in text
    # What a picture in a picture might load.
    assert not any(re.search(rb'(href|src)="(?!#)', each) for each in decoded)


def test_a_page_explains_the_columns_it_has():
    plain, law = (page([row("a", law_vni=law)], [], [], {}) for law in (None, 0.1))
    terms = re.compile("<dt>(.*?)</dt>")
    assert terms.findall(plain) == ["Effective nodes", "Fresh networks", "Rank"]
    assert terms.findall(law) == ["Effective nodes", "Fresh networks", "Rank", "Law"]
    nothing = page([LayerReport("a", None, "why")], ["one"], [], {})
    assert "<figure>" not in nothing and "why" in nothing and Reader(nothing)


def test_a_notebook_shows_the_same_table():
    table = rows(["a", "<b>"])
    part = fragment(table, ["Data: it."], [])
    Reader(part)
    assert part == Report(tuple(table))._repr_html_().replace(
        "".join(f"<p>{each}</p>\n" for each in _headed(Report(tuple(table)).verdict)),
        "<p><strong>Data:</strong> it.</p>\n",
    )
    # Outside the table nothing of the notebook is changed.
    rules = re.findall(r"^([.@][^{]*)\{", part, re.MULTILINE)
    assert rules and all(rule.startswith((".rmt-vn", "@media")) for rule in rules)


def _headed(sentences):
    return [re.sub(r"^(\w+): ", r"<strong>\1:</strong> ", each) for each in sentences]


# --- a picture --------------------------------------------------------------------------------------------------------


def test_a_picture_of_many_layers_is_wide_and_one_of_few_is_a_column(tmp_path):
    sizes = []
    for number in (5, 150):
        table = rows([f"layer {k}" for k in range(number)])
        Report(tuple(table)).plot(tmp_path / "drawn.svg")
        text = (tmp_path / "drawn.svg").read_text()
        sizes.append(float(re.search(r'width="([\d.]+)pt"', text)[1]))
    assert sizes == [252, 504]


def test_a_picture_shows_fresh_networks_where_there_are_any():
    layers = {"a": MEASURED, "b": None, "c": MEASURED}
    alone, some, dark = (
        picture_of_layers(layers, fresh=fresh, dark=dark).decode()
        for fresh, dark in (
            (None, False),
            ({"a": (5, 4, 6), "c": (5, math.nan, math.nan)}, False),
            ({"a": (5, 4, 6)}, True),
        )
    )
    band, ink = "#bfe0f5", "#e4e6e9"
    assert band not in alone and band in some and band not in dark
    assert ink not in some and ink in dark
