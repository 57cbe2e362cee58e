"""The page that shows all figures of a folder: complete, alone, and harmless whatever the manifests say."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from rmt_vn import figures
from rmt_vn.figures import gallery

PICTURE = b"\x89PNG, as far as the page knows"
VOID = {"meta", "link", "img", "br"}


def make_figure(out, name, **changes):
    """A figure as `output.make` leaves it: picture, data and manifest, of which some fields are changed."""
    manifest = {
        "figure": name,
        "claim": f"{name} is as it should be",
        "evidence": [
            {"says": "what is measured", "value": 2.71828, "low": None, "high": 5.0, "holds": True},
            {"says": "what is missed", "value": -0.25, "low": 0.0, "high": None, "holds": False},
        ],
        "preset": "quick",
        "parameters": {"width": 64, "depths": [2, 5]},
        "seed": 7,
        "files": [f"{name}.png", f"{name}.pdf", f"{name}_samples.csv"],
        "version": "0.1.0",
        "python": "3.11.7",
        "numpy": "2.0.0",
        "created": "2001-01-01T00:00:00+00:00",
        "seconds": 1.5,
    } | changes
    for file in (f"{name}.png", f"{name}.pdf", f"{name}_samples.csv"):
        (out / file).write_bytes(PICTURE)
    (out / f"{name}.json").write_text(json.dumps(manifest), encoding="utf-8")


class Page(HTMLParser):
    """Tags with their attributes, text, and whether what is opened is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def test_a_figure_is_shown_with_all_that_is_known_of_it(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    path = gallery.write(tmp_path)
    assert path == tmp_path / "index.html"
    page = Page(path)
    assert ("html", {"lang": "en"}) in page.tags
    (source,), (alt,) = page.all("img", "src"), page.all("img", "alt")
    assert base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) == PICTURE
    assert alt == "phase_diagram is as it should be"
    files = ["phase_diagram.png", "phase_diagram.pdf", "phase_diagram_samples.csv", "phase_diagram.json"]
    assert page.all("a", "href") == ["#phase_diagram", *files]
    assert page.all("article", "id") == ["phase_diagram"]
    for words in (
        "what is measured 2.72 ≤ 5 ✓ holds",
        "what is missed −0.25 ≥ 0 ✗ fails",
        "✗ 1 of 2",
        "width = 64, depths = [2, 5]",
        "rmt_vn 0.1.0, Python 3.11.7, numpy 2.0.0",
        "python -m rmt_vn.figures phase_diagram --preset quick --seed 7",
    ):
        assert words in page.words


def test_nothing_is_loaded_or_run(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    page = Page(gallery.write(tmp_path))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "form", "base"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(source.startswith("data:") for source in page.all("img", "src") + page.all("link", "href"))
    assert all(re.fullmatch(r"#?\w+(\.\w+)?", target) for target in page.all("a", "href"))
    assert not re.search(r"https?:|url\(|@import", page.source)


def test_equal_figures_give_equal_bytes_at_any_time(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    first = gallery.write(tmp_path).read_bytes()
    make_figure(tmp_path, "phase_diagram", created="2026-01-01T00:00:00+00:00", seconds=99)
    assert gallery.write(tmp_path).read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in ("", ".html")) == ["index.html"]


def test_a_figure_made_later_joins_the_others_in_their_order(tmp_path):
    assert Page(gallery.write(tmp_path)).all("article", "id") == []
    for name in ("wide_inputs", "node_correlation", "phase_diagram"):
        make_figure(tmp_path, name)
        page = Page(gallery.write(tmp_path))
    made = ["node_correlation", "phase_diagram", "wide_inputs"]
    assert page.all("article", "id") == made == [name for name in figures.NAMES if name in made]
    assert [target for target in page.all("a", "href") if target.startswith("#")] == [f"#{name}" for name in made]


HOSTILE = "\"'><script>alert(1)</script><img src=https://example.org/x onerror=alert(1)>&lt;\ud800{claim}"


def test_what_manifests_say_is_text(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    harmless = Page(gallery.write(tmp_path))
    said = {"says": HOSTILE, "value": None, "low": None, "high": 5.0}
    make_figure(
        tmp_path,
        "phase_diagram",
        **{field: HOSTILE for field in ("claim", "preset", "version", "python", "numpy")},
        parameters={HOSTILE: [HOSTILE], "width": 64},
        evidence=[said | {"holds": True}, said | {"holds": False}],
    )
    page = Page(gallery.write(tmp_path))
    assert [(tag, sorted(attributes)) for tag, attributes in page.tags] == [
        (tag, sorted(attributes)) for tag, attributes in harmless.tags
    ]
    shown = HOSTILE.replace("\ud800", "?")
    assert page.all("img", "alt") == [shown]
    assert page.words.count(shown) >= 6
    # Pasted into a shell, the command would still be one command.
    assert "--preset '" in page.words


@pytest.mark.parametrize(
    "files",
    [
        ["../secret.png"],
        ["/etc/passwd"],
        ["phase_diagram/../../secret.png"],
        ["phase_diagram_a.png\n"],
        ["..", ".", "", "\0", "~/secret.png", "C:\\secret.png", "https://example.org/x.png", "x" * 5000],
        [None, 3, ["phase_diagram.png"], {"phase_diagram.png": 1}],
        ["wide_inputs.png", "index.html"],
    ],
)
def test_files_of_others_are_neither_read_nor_linked(tmp_path, files):
    (tmp_path / "secret.png").write_bytes(b"secret")
    out = tmp_path / "figures"
    (out / "phase_diagram").mkdir(parents=True)
    (out / "wide_inputs.png").write_bytes(b"secret")
    make_figure(out, "phase_diagram", files=files)
    page = Page(gallery.write(out))
    assert page.all("img", "src") == []
    assert page.all("a", "href") == ["#phase_diagram", "phase_diagram.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"figure": "phase_diagram", "claim": "and so',
        b"[]",
        b"null",
        b'"phase_diagram"',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"figure": "phase_diagram"}',
        b"1" * 5000,
        {"claim": None},
        {"seed": "7"},
        {"seed": 7.5},
        {"files": None},
        {"evidence": {}},
        {"evidence": [7]},
        {"evidence": [{}]},
        {"evidence": [{"says": "what", "value": "much", "low": None, "high": None, "holds": True}]},
        {"evidence": [{"says": "what", "value": 1.0, "low": None, "holds": True}]},
        {"figure": "wide_inputs"},
    ],
)
def test_a_corrupt_manifest_is_left_out_and_named(tmp_path, content):
    make_figure(tmp_path, "node_correlation")
    if isinstance(content, dict):
        make_figure(tmp_path, "phase_diagram", **content)
    else:
        (tmp_path / "phase_diagram.json").write_bytes(content)
    with pytest.warns(UserWarning, match=re.escape(str(tmp_path / "phase_diagram.json"))):
        path = gallery.write(tmp_path)
    assert Page(path).all("article", "id") == ["node_correlation"]


def test_a_folder_in_place_of_a_manifest_is_left_out_and_named(tmp_path):
    (tmp_path / "phase_diagram.json").mkdir()
    with pytest.warns(UserWarning, match=r"phase_diagram\.json"):
        gallery.write(tmp_path)


def test_a_missing_picture_leaves_the_words(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    (tmp_path / "phase_diagram.png").unlink()
    page = Page(gallery.write(tmp_path))
    assert page.all("img", "src") == []
    assert "phase_diagram.png" not in page.all("a", "href")
    assert "what is measured 2.72 ≤ 5 ✓ holds" in page.words


def test_svg_is_shown_where_there_is_no_png_and_pdf_is_linked(tmp_path):
    make_figure(tmp_path, "phase_diagram", files=["phase_diagram.pdf", "phase_diagram.svg"])
    (tmp_path / "phase_diagram.svg").write_bytes(b"<svg/>")
    page = Page(gallery.write(tmp_path))
    assert page.all("img", "src") == [f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}"]
    assert "phase_diagram.pdf" in page.all("a", "href")
    # The picture that lies there is of an earlier run: the manifest does not name it.
    make_figure(tmp_path, "phase_diagram", files=["phase_diagram.pdf"])
    page = Page(gallery.write(tmp_path))
    assert page.all("img", "src") == [] and "phase_diagram.pdf" in page.all("a", "href")
