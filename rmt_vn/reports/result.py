"""The report of a network: its layers in numbers, in words, and in a picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rmt_vn.baseline import Baseline
from rmt_vn.reports.against import farther
from rmt_vn.reports.html_page import PICTURES, fragment, page
from rmt_vn.reports.layer import LayerReport
from rmt_vn.reports.sentences import verdict
from rmt_vn.reports.text import as_text
from rmt_vn.results import Result
from rmt_vn.whole_files import write_whole


@dataclass(frozen=True, repr=False, eq=False)
class Report(Result):
    """How many of a network's nodes are effective, layer by layer, beside the same network with fresh weights.

    ``print(report)`` shows it in 80 columns, a notebook as a table.

    Attributes
    ----------
    layers : tuple of LayerReport
        All layers, also those that could not be measured, which say why.
    notes : tuple of str
        What must be known of the whole report; empty if nothing must.
    null : Baseline, or None
        The fresh networks.
    """

    derived: ClassVar[tuple[str, ...]] = ("verdict", "together", "replicas")

    layers: tuple[LayerReport, ...]
    notes: tuple[str, ...] = ()
    null: Baseline | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> LayerReport:
        """The row of a layer.

        Raises
        ------
        KeyError
            If there is no layer of this name.
        """
        for each in self.layers:
            if each.name == name:
                return each
        raise KeyError(f"the report has no layer {name!r}; it has {', '.join(each.name for each in self.layers)}")

    @property
    def replicas(self) -> int:
        """How many fresh networks there are."""
        return 0 if self.null is None else self.null.replicas

    @property
    def together(self) -> tuple[int, int] | None:
        """How many of how many fresh networks lie at least as far from the common mean as this network does.

        All layers are taken together (`rmt_vn.reports.against.farther`). If it is fresh too, the probability that it
        is k of n or fewer is (k + 1)/(n + 1), however many layers there are. None if nothing can be compared.
        """
        return None if self.null is None else farther(self.layers, self.null)

    @property
    def verdict(self) -> tuple[str, ...]:
        """What is data, what is depth and what is training, and what may be chance, in sentences."""
        return verdict(self.layers, self.null, self.together)

    def __str__(self) -> str:
        return as_text(self.layers, self.verdict, self.notes)

    def __repr__(self) -> str:
        measured = sum(each.measured is not None for each in self.layers)
        beside = f", beside {self.replicas} fresh networks" if self.replicas else ""
        return f"<Report: {measured} layers measured, {len(self.layers) - measured} not{beside}>"

    def _repr_html_(self) -> str:
        return fragment(self.layers, self.verdict, self.notes)

    def to_csv(self, file: str | os.PathLike) -> None:
        """Write a line for each layer, whole or not at all. What there is not is empty.

        Raises
        ------
        ValueError
            If the name of the file does not end in .csv.
        OSError
            If the file cannot be written; what was there before is left as it was.
        """
        place = _checked_suffix(file, ".csv")
        lines = list(_lines(self.layers))

        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as opened:
                writer = csv.DictWriter(opened, lines[0])
                writer.writeheader()
                writer.writerows(lines)

        write_whole(place, write)

    def to_html(self, file: str | os.PathLike) -> None:
        """Write a page that holds all it shows: sentences, picture and table; no script, and no other file.

        Raises
        ------
        ValueError
            If the name of the file does not end in .html.
        OSError
            If the file cannot be written; what was there before is left as it was.
        """
        place = _checked_suffix(file, ".html")
        text = page(self.layers, self.verdict, self.notes, self._pictures())
        write_whole(place, lambda path: path.write_text(text, encoding="utf-8"))

    def plot(self, file: str | os.PathLike) -> None:
        """Draw effective nodes, the range of fresh networks and the law, layer by layer.

        Parameters
        ----------
        file : path
            A .png, .pdf or .svg picture.

        Raises
        ------
        ValueError
            If its suffix is none of these, or no layer could be measured.
        OSError
            If it cannot be written; what was there before is left as it was.
        """
        from rmt_vn.figures.measured_layers import draw_layers

        layers, fresh, law = self._drawn()
        draw_layers(layers, Path(file), fresh=fresh, law=law)

    def _pictures(self) -> dict[str, bytes]:
        """For screens that are wide or narrow, light or dark; none if nothing was measured."""
        from rmt_vn.figures.measured_layers import picture_of_layers

        if all(each.measured is None for each in self.layers):
            return {}
        layers, fresh, law = self._drawn()
        return {
            media: picture_of_layers(layers, fresh=fresh, law=law, width=width, dark=dark)
            for media, (width, dark) in PICTURES.items()
        }

    def _drawn(self) -> tuple[dict[str, Any], dict[str, tuple[float, float, float]], dict[str, float]]:
        """Measures, fresh networks and law by the names of layers, as `rmt_vn.figures.measured_layers` takes them."""
        fresh = {each.name: each.fresh for each in self.layers if each.fresh is not None}
        return (
            {each.name: each.measured for each in self.layers},
            {name: (each.mean, each.low, each.high) for name, each in fresh.items()},
            {each.name: 1 / each.law_vni for each in self.layers if each.law_vni is not None},
        )


def _lines(layers: tuple[LayerReport, ...]) -> Iterator[dict[str, Any]]:
    for each in layers:
        measured, fresh = each.measured, each.fresh
        low, high = each.interval or (None, None)
        yield {
            "layer": each.name,
            "nodes": measured and measured.n_nodes,
            "samples": measured and measured.n_samples,
            "effective_nodes": each.effective_nodes,
            "low": low,
            "high": high,
            "fresh_mean": fresh and fresh.mean,
            "fresh_low": fresh and fresh.low,
            "fresh_high": fresh and fresh.high,
            "rank": fresh and fresh.fewer,
            "fresh_networks": fresh and fresh.n_networks,
            "law": None if each.law_vni is None else 1 / each.law_vni,
            "constant": measured and measured.constant_nodes,
            "dead": measured and each.dead_nodes,
            "near_duplicates": each.near_duplicates,
            "says": each.sentence,
            "note": "; ".join(filter(None, (each.note, each.no_fresh))),
        }


def _checked_suffix(file: str | os.PathLike, suffix: str) -> Path:
    place = Path(file)
    if place.suffix.lower() != suffix:
        raise ValueError(f"the name of the file must end in {suffix}, got {str(file)!r}")
    return place
