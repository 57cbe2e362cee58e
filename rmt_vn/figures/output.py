"""The files of a figure: its pictures, the data behind them, and a manifest that says what they are."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import numpy as np

import rmt_vn
from rmt_vn import figures
from rmt_vn.experiments import Engine
from rmt_vn.experiments.fingerprint import fingerprint
from rmt_vn.figures import gallery, style
from rmt_vn.figures.evidence import Evidence, to_json
from rmt_vn.figures.tables import Table, write_table
from rmt_vn.whole_files import move_into, staging_folder

# Formats that would hold the time of drawing are told not to: equal data must give equal bytes.
_UNDATED = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}

# The fonts of formulas give a date of 1904 as that of their making; without this, each PDF would bring a warning.
logging.getLogger("fontTools.ttLib.tables._h_e_a_d").setLevel(logging.ERROR)


def make(
    name: str,
    *,
    preset: str,
    out: Path,
    seed: int = 0,
    engine: Engine | None = None,
    formats: tuple[str, ...] = ("png", "pdf"),
) -> tuple[list[Path], list[Evidence]]:
    """Compute and draw one figure; write its files into the folder `out`, and the gallery of that folder anew.

    If the files are there already and would come out the same, they are left as they are. Otherwise all of them are
    written to a hidden folder first and then moved to their places, one after the other. So a failure or an
    interruption leaves the old files as they were, and no file is ever seen half-written.

    Returns
    -------
    files : list of Path
        Pictures first, then data, then the manifest.
    evidence : list of Evidence
        The numbers on which the claim rests. The figure is written whether they hold or not.

    Raises
    ------
    ValueError
        If the figure or preset is unknown.
    OSError
        If `out` cannot be written.
    """
    module = figures.load(name)
    if preset not in module.PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(module.PRESETS)}")
    parameters = module.PRESETS[preset]
    started = time.perf_counter()
    tables = module.compute(seed=seed, engine=engine or Engine(), **parameters)
    evidence = module.evidence(tables)
    known = {
        "figure": name,
        "claim": module.CLAIM,
        "caption": module.CAPTION,
        "evidence": [to_json(each) for each in evidence],
        "preset": preset,
        "parameters": parameters,
        "seed": seed,
        "version": rmt_vn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "matplotlib": matplotlib.__version__,
    }
    known["fingerprint"] = fingerprint([known, tables, formats, module.draw, style.RC, write_table])
    out.mkdir(parents=True, exist_ok=True)
    if not (files := _up_to_date(out / f"{name}.json", known["fingerprint"])):
        with staging_folder(out) as staging:
            files = _written(staging, name, tables, formats)
            known |= {
                "files": [file.name for file in files],
                "sha256": [_sha256(file) for file in files],
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - started, 2),
            }
            files.append(staging / f"{name}.json")
            text = json.dumps(known, indent=2, ensure_ascii=False, allow_nan=False)
            files[-1].write_text(text + "\n", encoding="utf-8")
            move_into(out, files)
    gallery.write(out)
    return [out / file.name for file in files], evidence


def _written(staging: Path, name: str, tables: dict[str, Table], formats: tuple[str, ...]) -> list[Path]:
    """The pictures and the data, written into the folder `staging`."""
    with style.own_style():
        picture = figures.load(name).draw(tables)
        files = [staging / f"{name}.{kind}" for kind in formats]
        for file in files:
            picture.savefig(file, metadata=_UNDATED[file.suffix[1:]])
    return files + [write_table(staging / f"{name}_{label}", columns) for label, columns in tables.items()]


def _up_to_date(manifest: Path, mark: str) -> list[Path]:
    """The files of a figure if they would come out the same again; none if one of them is missing or was changed."""
    if not gallery.is_plain(manifest):
        return []
    try:
        known = json.loads(manifest.read_text(encoding="utf-8"))
        files = [manifest.parent / file for file in known["files"]]
        if not all(map(gallery.is_plain, files)):
            return []
        same = known["fingerprint"] == mark and known["sha256"] == [_sha256(file) for file in files]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [*files, manifest] if same else []


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
