"""Files of activations that are damaged, or made to do harm: what tests of several files make them from."""

import io
import struct
import warnings
import zipfile

import numpy as np

X = np.random.default_rng(0).standard_normal((7, 3))


def npy_bytes(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header_bytes(text, version=(1, 0), length=None):
    """An NPY header that says what it is told to."""
    padded = text.encode().ljust(117) + b"\n"
    size = len(padded) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + padded


def zipped(*members, **options):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content, **options)
    return file.getvalue()


GOOD = npy_bytes(X)
OBJECTS = header_bytes("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")
LIAR = header_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000, 10000000), }")
