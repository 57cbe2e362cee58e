"""The two pages that show all figures of a folder: complete, and harmless whatever the manifests say."""

import base64
import hashlib
import json
import os
import re
import shlex
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest
from figure_files import read_table

from rmt_vn import figures
from rmt_vn.figures import gallery
from rmt_vn.figures.evidence import from_json
from rmt_vn.figures.gallery import markdown_page
from rmt_vn.figures.gallery.manifests import read_folder

COMMITTED = Path(__file__).parents[1] / "figures"

PICTURE = b"\x89PNG, as far as the page knows"
VOID = {"meta", "link", "img", "br"}


def make_figure(out, name, **changes):
    """A figure as `output.make` leaves it: picture, data and manifest, of which some fields are changed."""
    manifest = {
        "figure": name,
        "claim": f"{name} is as it should be",
        "caption": "Points are samples.",
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


def html_of(folder):
    return Page(gallery.write(folder)[0])


def markdown_of(folder):
    return gallery.write(folder)[1].read_text(encoding="utf-8")


def test_a_figure_is_shown_with_all_that_is_known_of_it(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    assert gallery.write(tmp_path) == [tmp_path / "index.html", tmp_path / "README.md"]
    page = Page(tmp_path / "index.html")
    assert ("html", {"lang": "en"}) in page.tags
    (source,), (alt,) = page.all("img", "src"), page.all("img", "alt")
    assert base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) == PICTURE
    assert alt == "phase_diagram is as it should be"
    files = ["phase_diagram.png", "phase_diagram.pdf", "phase_diagram_samples.csv", "phase_diagram.json"]
    assert page.all("a", "href") == ["#phase_diagram", *files]
    assert page.all("article", "id") == ["phase_diagram"]
    for words in (
        "Points are samples.",
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
    page = html_of(tmp_path)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "form", "base"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(source.startswith("data:") for source in page.all("img", "src") + page.all("link", "href"))
    assert all(re.fullmatch(r"#?\w+(\.\w+)?", target) for target in page.all("a", "href"))
    assert not re.search(r"https?:|url\(|@import", page.source)


def test_equal_figures_give_equal_bytes_at_any_time(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    first = [page.read_bytes() for page in gallery.write(tmp_path)]
    make_figure(tmp_path, "phase_diagram", created="2026-01-01T00:00:00+00:00", seconds=99)
    assert [page.read_bytes() for page in gallery.write(tmp_path)] == first
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in ("", ".html")) == ["index.html"]


def test_a_figure_made_later_joins_the_others_in_their_order(tmp_path):
    assert html_of(tmp_path).all("article", "id") == []
    for name in ("wide_inputs", "node_correlation", "phase_diagram"):
        make_figure(tmp_path, name)
        page = html_of(tmp_path)
    made = ["node_correlation", "phase_diagram", "wide_inputs"]
    assert page.all("article", "id") == made == [name for name in figures.NAMES if name in made]
    assert [target for target in page.all("a", "href") if target.startswith("#")] == [f"#{name}" for name in made]
    headings = re.findall("(?m)^## (.*)$", (tmp_path / "README.md").read_text(encoding="utf-8"))
    assert headings == ["Contents", *made]


HOSTILE = "\"'><script>alert(1)</script><img src=https://example.org/x onerror=alert(1)>&lt;\ud800{claim}"


def test_what_manifests_say_is_text(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    harmless = html_of(tmp_path)
    said = {"says": HOSTILE, "value": None, "low": None, "high": 5.0}
    make_figure(
        tmp_path,
        "phase_diagram",
        **{field: HOSTILE for field in ("claim", "caption", "preset", "version", "python", "numpy")},
        parameters={HOSTILE: [HOSTILE], "width": 64},
        evidence=[said | {"holds": True}, said | {"holds": False}],
    )
    page = html_of(tmp_path)
    assert [(tag, sorted(attributes)) for tag, attributes in page.tags] == [
        (tag, sorted(attributes)) for tag, attributes in harmless.tags
    ]
    shown = HOSTILE.replace("\ud800", "?")
    assert page.all("img", "alt") == [shown]
    assert page.words.count(shown) >= 7
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
    page = html_of(out)
    assert page.all("img", "src") == []
    assert page.all("a", "href") == ["#phase_diagram", "phase_diagram.json"]
    assert re.findall(r"\]\((.*?)\)|src=", (out / "README.md").read_text()) == ["#phase_diagram", "phase_diagram.json"]


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
        page, readme = gallery.write(tmp_path)
    assert Page(page).all("article", "id") == ["node_correlation"]
    assert "phase_diagram" not in readme.read_text()


def test_links_are_neither_shown_nor_followed(tmp_path):
    secret, out = tmp_path / "secret", tmp_path / "figures"
    secret.write_bytes(b"secret of somebody")
    out.mkdir()
    make_figure(out, "phase_diagram")
    for file in ("phase_diagram.png", "phase_diagram_samples.csv"):
        (out / file).unlink()
        (out / file).symlink_to(secret)
    page = html_of(out)
    assert page.all("img", "src") == []
    assert page.all("a", "href") == ["#phase_diagram", "phase_diagram.pdf", "phase_diagram.json"]
    assert base64.b64encode(b"secret")[:-1].decode() not in page.source
    (out / "phase_diagram.json").rename(tmp_path / "manifest.json")
    (out / "phase_diagram.json").symlink_to(tmp_path / "manifest.json")
    with pytest.warns(UserWarning, match=r"phase_diagram\.json is left out of the gallery: it is no regular file"):
        assert html_of(out).all("article", "id") == []


def test_pipes_are_not_waited_for(tmp_path):
    for name in ("phase_diagram.json", "README.md"):
        os.mkfifo(tmp_path / name)
    with (
        pytest.warns(UserWarning, match=r"README\.md is not a gallery"),
        pytest.warns(UserWarning, match=r"phase_diagram\.json is left out of the gallery: it is no regular file"),
    ):
        assert gallery.write(tmp_path) == [tmp_path / "index.html"]
    (tmp_path / "phase_diagram.json").unlink()
    make_figure(tmp_path, "phase_diagram")
    (tmp_path / "phase_diagram.png").unlink()
    os.mkfifo(tmp_path / "phase_diagram.png")
    with pytest.warns(UserWarning, match=r"README\.md"):
        assert html_of(tmp_path).all("img", "src") == []


def test_a_folder_in_place_of_a_manifest_is_left_out_and_named(tmp_path):
    (tmp_path / "phase_diagram.json").mkdir()
    with pytest.warns(UserWarning, match=r"phase_diagram\.json"):
        gallery.write(tmp_path)


def test_a_missing_picture_leaves_the_words(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    (tmp_path / "phase_diagram.png").unlink()
    page = html_of(tmp_path)
    assert page.all("img", "src") == []
    assert "phase_diagram.png" not in page.all("a", "href")
    assert "what is measured 2.72 ≤ 5 ✓ holds" in page.words
    assert "<img" not in (tmp_path / "README.md").read_text()


def test_svg_is_shown_where_there_is_no_png_and_pdf_is_linked(tmp_path):
    make_figure(tmp_path, "phase_diagram", files=["phase_diagram.pdf", "phase_diagram.svg"])
    (tmp_path / "phase_diagram.svg").write_bytes(b"<svg/>")
    page = html_of(tmp_path)
    assert page.all("img", "src") == [f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}"]
    assert "phase_diagram.pdf" in page.all("a", "href")
    # The picture that lies there is of an earlier run: the manifest does not name it.
    make_figure(tmp_path, "phase_diagram", files=["phase_diagram.pdf"])
    page = html_of(tmp_path)
    assert page.all("img", "src") == [] and "phase_diagram.pdf" in page.all("a", "href")


# --- Markdown ---------------------------------------------------------------------------------------------------------

IMAGE = re.compile(r'<img src="(\w+\.\w+)" width="480" alt="([^"<>\n]*)">')
# From left to right, as a reader of Markdown takes them: an escaped character is text, and so is all between two runs
# of as many backticks; then whatever else may be a command, or become a link on a code host.
TOKEN = re.compile(
    r"\\[!-/:-@\[-`{-~]|(?<!`)(?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`)"
    r"|(?P<command>[\\`*_\[\]<>|~$&]|https?://|www\.|@\w|#\d)",
    re.IGNORECASE,
)


def commands(markdown):
    """All but the text: the first characters of the lines, and what within them is a command."""
    lines = IMAGE.sub("<img>", markdown).splitlines()
    found = [[token["command"] for token in TOKEN.finditer(line) if token["command"]] for line in lines]
    return [(line[:2], *each) for line, each in zip(lines, found, strict=True)]


def test_the_reader_of_markdown_tells_commands_from_text():
    assert commands(r"- a\*b `c*|` ``d`e`` *f*") == [("- ", "*", "*")]
    assert commands("| a | [b](c) |") == [("| ", "|", "|", "[", "]", "|")]
    assert commands(r"x \\*y*") == [("x ", "*", "*")]
    assert commands("see https://a www.b c@d &lt; <b>") == [("se", "https://", "www.", "@d", "&", "<", ">")]


def test_the_page_in_markdown_shows_all_that_is_known(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    page = markdown_of(tmp_path)
    assert page.startswith(markdown_page.FIRST_LINE)
    assert IMAGE.findall(page) == [("phase_diagram.png", "phase_diagram is as it should be")]
    for line in (
        "- [phase_diagram](#phase_diagram): phase\\_diagram is as it should be (✗ 1 of 2)",
        "## phase_diagram",
        "**phase\\_diagram is as it should be**",
        "What is shown: Points are samples.",
        "| what is measured | 2.72 | ≤ 5 | ✓ holds |",
        "| what is missed | −0.25 | ≥ 0 | ✗ fails |",
        "- Preset: quick; seed: 7",
        "- Make it again: `python -m rmt_vn.figures phase_diagram --preset quick --seed 7`",
    ):
        assert line in page.splitlines()
    files = ["phase_diagram.png", "phase_diagram.pdf", "phase_diagram_samples.csv", "phase_diagram.json"]
    assert re.findall(r"\[(.*?)\]\((.*?)\)", page) == [
        ("phase_diagram", "#phase_diagram"),
        *zip(files, files, strict=True),
    ]


HOSTILE_MARKDOWN = """| a | `b` ``c`` ```d
```

# heading

- item\r1. item\x0b> quote\u2028    code
<script>alert(1)</script> <!-- " onerror='alert(1)' \x1b[2J [x](https://example.org/x) ![y](../secret.png) [z]: ../z
https://example.org/x WWW.example.org a@example.org @b #1 *c* **d** __e__ ~~f~~ $g$ $`h`$ &lt; :tada: \\| \\ \ud800`"""


@pytest.mark.parametrize(
    "hostile", [HOSTILE, HOSTILE_MARKDOWN, HOSTILE_MARKDOWN[::-1], "`", "\\", "|", "``` `", "\n\n# a"]
)
def test_what_manifests_say_is_text_in_markdown(tmp_path, hostile):
    # The evidence of `make_figure`, with and without hostile words.
    row = {"value": None, "low": None, "high": 5.0, "holds": False}
    make_figure(tmp_path, "phase_diagram", evidence=[row | {"says": "what"}])
    harmless = markdown_of(tmp_path)
    fields = {field: hostile for field in ("claim", "caption", "preset", "version", "python", "numpy")}
    make_figure(tmp_path, "phase_diagram", **fields, evidence=[row | {"says": hostile}])
    page = markdown_of(tmp_path)
    assert commands(page) == commands(harmless)
    # A reader sees all of it, but for how it was broken into lines.
    seen = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", page).replace("\u2060", "")
    shown = " ".join(re.sub(r"[\x00-\x1f]", " ", hostile).split()).replace("\ud800", "?")
    assert seen.count(shown) >= 5
    # Pasted into a shell, the command would still be one command.
    (code,) = re.findall(r"(?m)^- Make it again: (.*)$", page)
    fence = re.match("`+", code)[0]
    assert code.endswith(fence) and fence not in code[len(fence) : -len(fence)]
    assert len(shlex.split(code[len(fence) : -len(fence)])) == 8


def test_a_page_of_others_is_left_as_it_is(tmp_path):
    make_figure(tmp_path, "phase_diagram")
    (tmp_path / "README.md").write_text("# My paper\n")
    with pytest.warns(UserWarning, match=r"README\.md"):
        assert gallery.write(tmp_path) == [tmp_path / "index.html"]
    assert (tmp_path / "README.md").read_text() == "# My paper\n"


# --- what is committed ------------------------------------------------------------------------------------------------


def test_the_committed_page_is_that_of_the_committed_figures():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = read_folder(COMMITTED)
    assert [each.name for each in shown] == list(figures.NAMES)
    assert (COMMITTED / "README.md").read_text(encoding="utf-8") == markdown_page.page(shown)
    linked = {file for each in shown for file in each.files}
    assert linked == {file.name for file in COMMITTED.iterdir() if file.is_file()} - {"README.md", "index.html"}


@pytest.mark.parametrize("name", figures.NAMES)
def test_the_committed_figure_is_what_the_code_says(name):
    """Its words are those of the code, its files those of its manifest, and its evidence is that of its data."""
    manifest = json.loads((COMMITTED / f"{name}.json").read_text(encoding="utf-8"))
    module = figures.load(name)
    assert (manifest["claim"], manifest["caption"]) == (module.CLAIM, module.CAPTION)
    assert (manifest["preset"], manifest["seed"]) == ("paper", 0)
    paths = [COMMITTED / file for file in manifest["files"]]
    assert manifest["sha256"] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    data = [path for path in paths if path.suffix in (".csv", ".npz")]
    rows = module.evidence({path.stem.removeprefix(f"{name}_"): read_table(path) for path in data})
    kept = [from_json(record) for record in manifest["evidence"]]
    assert [(row.says, row.low, row.high) for row in kept] == [(row.says, row.low, row.high) for row in rows]
    assert [row.value for row in kept] == pytest.approx([row.value for row in rows], rel=1e-9, abs=1e-12)
    assert all(row.holds for row in rows)
