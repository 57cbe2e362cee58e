"""From a figure module to files: pictures, the data behind them, and a manifest, each of them whole."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import numpy as np

import rmt_vn
from rmt_vn import figures
from rmt_vn.figures import style
from rmt_vn.figures.tables import write_table


def make(
    name: str, *, preset: str, out: Path, seed: int = 0, jobs: int | None = None, formats: tuple[str, ...] = ("png",)
) -> list[Path]:
    """Compute and draw one figure; write pictures, tables and manifest into the folder `out`.

    The files are written beside their places and moved there, one after the other, once all are whole: what fails or is
    stopped before that leaves what was there, and no file is ever seen half-written.

    Returns
    -------
    list of Path
        Pictures first, then data, then the manifest.

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
    tables = module.compute(seed=seed, jobs=jobs, **parameters)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=out) as folder:
        staging = Path(folder)
        with matplotlib.rc_context(style.RC):
            picture = module.draw(tables)
            files = [staging / f"{name}.{kind}" for kind in formats]
            for file in files:
                picture.savefig(file)
        files += [write_table(staging / f"{name}_{label}", columns) for label, columns in tables.items()]
        manifest = {
            "figure": name,
            "claim": module.CLAIM,
            "preset": preset,
            "parameters": parameters,
            "seed": seed,
            "files": [file.name for file in files],
            "version": rmt_vn.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - started, 2),
        }
        files.append(staging / f"{name}.json")
        files[-1].write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for file in files:
            os.replace(file, out / file.name)
    return [out / file.name for file in files]
