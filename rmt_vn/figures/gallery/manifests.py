"""What the pages of a gallery show: the manifests of a folder, read, checked and put into words."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path

from rmt_vn import figures
from rmt_vn.figures.evidence import from_json

_MANIFEST = {
    "figure": str,
    "claim": str,
    "caption": str,
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
_PICTURES = (".png", ".svg")  # The first of them that is there is shown.


@dataclass(frozen=True)
class Row:
    """One number on which a claim rests, in words: what it is, its value, the range that it must be in."""

    says: str
    value: str
    needed: str
    holds: bool


@dataclass(frozen=True)
class Shown:
    """One figure as both pages show it. All but `name` and `files` is text that anyone may have written.

    Attributes
    ----------
    name : str
        One of `rmt_vn.figures.NAMES`.
    claim, caption : str
    rows : tuple of Row
    preset, parameters, versions : str
    seed : int
    files : tuple of str
        Names of files that the figure writes and that are there, the manifest last. Nothing else may be linked.
    picture : str or None
        The one of `files` that is shown.
    command : str
        The command that makes the figure again.
    """

    name: str
    claim: str
    caption: str
    rows: tuple[Row, ...]
    preset: str
    parameters: str
    seed: int
    versions: str
    files: tuple[str, ...]
    picture: str | None
    command: str

    @property
    def verdict(self) -> str:
        """How many of the numbers are where the claim needs them: "✓ 3 of 3"."""
        held = sum(row.holds for row in self.rows)
        return f"{'✓' if held == len(self.rows) else '✗'} {held} of {len(self.rows)}"


def read_folder(out: Path) -> list[Shown]:
    """The figures of which a manifest lies in a folder, in the order of `rmt_vn.figures.NAMES`.

    A manifest that cannot be read, or that lacks fields, is left out with a warning.
    """
    shown = []
    for name in figures.NAMES:
        path = out / f"{name}.json"
        try:
            shown.append(_shown(_read(path), out))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            warnings.warn(f"{path} is left out of the gallery: {error}", stacklevel=3)
    return shown


def _read(path: Path) -> dict:
    if path.exists() and not is_plain(path):
        raise ValueError("it is no regular file")  # a pipe would never end, a link may lead to anything
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


def _shown(manifest: dict, out: Path) -> Shown:
    name = manifest["figure"]
    files = [file for file in manifest["files"] if _is_own(file, name) and is_plain(out / file)]
    pictures = [file for suffix in _PICTURES for file in files if file.endswith(suffix)]
    return Shown(
        name=name,
        claim=manifest["claim"],
        caption=manifest["caption"],
        rows=tuple(map(_row, manifest["evidence"])),
        preset=manifest["preset"],
        parameters=", ".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in manifest["parameters"].items()
        ),
        seed=manifest["seed"],
        versions=f"rmt_vn {manifest['version']}, Python {manifest['python']}, numpy {manifest['numpy']}",
        files=(*files, f"{name}.json"),
        picture=pictures[0] if pictures else None,
        command=f"python -m rmt_vn.figures {name} --preset {shlex.quote(manifest['preset'])} --seed {manifest['seed']}",
    )


def _is_own(file: object, name: str) -> bool:
    """Whether this is the name of a file that the figure writes, inside the folder: nothing else is read or linked."""
    return isinstance(file, str) and re.fullmatch(rf"{name}(_\w+)?\.\w+", file, re.ASCII) is not None


def is_plain(path: Path) -> bool:
    """Whether this is a regular file, and no link: one could show what lies elsewhere to whoever is given the page."""
    return path.is_file() and not path.is_symlink()


def _row(record: dict) -> Row:
    evidence = from_json(record)
    value, needed = (text.replace("-", "−") for text in (f"{evidence.value:.3g}", evidence.expected))
    return Row(evidence.says, value, needed, record["holds"])
