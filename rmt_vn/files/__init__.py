"""Activations from NPY, NPZ and CSV files, which may be damaged or hostile: nothing in them is trusted.

Nothing in a file is run (pickles are refused); arrays that would fill the memory are refused before they are read;
damaged files give an error of one line.
"""

from rmt_vn.files.reading import SUFFIXES, FileContents, read_activations

__all__ = ["SUFFIXES", "FileContents", "read_activations"]
