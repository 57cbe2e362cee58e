"""The picture of `rmt-vn measure --plot`: any names, any file, any settings of the user's; one error, or a picture."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from rmt_vn import measures
from rmt_vn.figures.measured_layers import draw_layers

STARTS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
ARRAYS = np.random.default_rng(0).standard_normal((12, 40, 8))


def measured(*names):
    return {name: measures.vni(array) for name, array in zip(names, ARRAYS, strict=False)}


@pytest.mark.parametrize("kind", [*STARTS, "PNG"])
def test_the_suffix_says_what_is_drawn(tmp_path, kind):
    draw_layers(measured("first", "second"), tmp_path / f"layers.{kind}")
    assert (tmp_path / f"layers.{kind}").read_bytes().startswith(STARTS[kind.lower()])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["layers", ".png", "layers.gif", "layers.png.", "layers.tex", "layers.pgf"])
def test_an_unknown_suffix_is_refused_by_naming_the_known(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg") as refused:
        draw_layers(measured("first"), tmp_path / name)
    assert repr(str(tmp_path / name)) in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_no_layers_are_no_picture(tmp_path):
    with pytest.raises(ValueError, match="at least one layer"):
        draw_layers({}, tmp_path / "layers.png")


@pytest.mark.parametrize("place", ["none/layers.png", "folder.png", "file/layers.png", "x" * 300 + ".png"])
def test_what_cannot_be_written_is_one_error_that_names_it(tmp_path, place):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError) as stopped:
        draw_layers(measured("first"), tmp_path / place)
    assert stopped.value.filename == str(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


NAMES = ["p$^$", "$", "$$", r"$\frac{1}$", r"\alpha_", "a\nb", "\x1b[2J", "\ud800", "\u5c42", "", "n" * 5000, "%s {x}"]


@pytest.mark.parametrize("kind", STARTS)
def test_names_are_text(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_layers(measured(*NAMES), tmp_path / f"layers.{kind}")
    assert (tmp_path / f"layers.{kind}").read_bytes().startswith(STARTS[kind])


def test_no_character_of_a_name_is_a_command(tmp_path):
    """Each character is one outline, so that names of equal length take as many: a formula would take fewer."""
    outlines = []
    for name in ("p$x$", "pqxq"):
        draw_layers(measured(name), tmp_path / "layers.svg")
        outlines.append((tmp_path / "layers.svg").read_text().count("<use"))
    assert outlines[0] == outlines[1]


def test_a_picture_is_the_same_whatever_the_settings_of_the_user(tmp_path):
    settings = {
        "text.usetex": True,
        "savefig.format": "pgf",
        "figure.autolayout": True,
        "savefig.bbox": "tight",
        "axes.grid": True,
        "font.size": 30,
    }
    draw_layers(measured("first"), tmp_path / "one.png")
    with matplotlib.rc_context(settings):
        draw_layers(measured("first"), tmp_path / "two.png")
        assert {name: matplotlib.rcParams[name] for name in settings} == settings
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_matplotlibrc_that_asks_for_tex_needs_none(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    np.savez(tmp_path / "h.npz", **{"p$^$": ARRAYS[0], "q": ARRAYS[1]})
    command = [sys.executable, "-m", "rmt_vn", "measure", "h.npz", "--plot", "layers.png"]
    where = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **where}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "layers.png").read_bytes().startswith(STARTS["png"])
