"""A network beside itself with fresh weights: what is data, what is depth, what is training.

=============  =========================================================================================
`reporting`    `report`: from a model, from arrays, or from what a watch saw
`result`       `Report`: sentences, table, picture, files
`layer`        `LayerReport` and `FreshNetworks`: the numbers of one layer, and its sentence
`measured`     rows of this network
`against`      fresh networks beside them, layer by layer and all together
`law`          what the laws say of these layers
`assembled`    rows, fresh networks and law put together
`sentences`    data, depth and training in words
`text`         a terminal of 80 columns
`html_page`    a notebook, and a page of its own
=============  =========================================================================================
"""

from rmt_vn.reports.layer import FreshNetworks, LayerReport
from rmt_vn.reports.reporting import report
from rmt_vn.reports.result import Report

__all__ = ["FreshNetworks", "LayerReport", "Report", "report"]
