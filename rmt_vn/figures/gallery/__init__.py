"""The gallery of a folder: every figure of which a manifest lies there, on two pages.

===============  =====================================================================================================
`manifests`      what the pages show: the manifests of a folder, read, checked and put into words
`html_page`      ``index.html``, which holds the pictures and needs no other file
`markdown_page`  ``README.md``, which a code host shows beside the files
===============  =====================================================================================================
"""

from __future__ import annotations

import warnings
from pathlib import Path

from rmt_vn.figures.gallery import html_page, markdown_page
from rmt_vn.figures.gallery.manifests import is_plain, read_folder
from rmt_vn.whole_files import move_into, staging_folder

__all__ = ["is_plain", "write"]


def write(out: Path) -> list[Path]:
    """Write the pages `index.html` and `README.md` of all figures of which a manifest lies in the folder `out`.

    It does not matter which run made the figures. The pages hold no time: equal figures give equal bytes. A manifest
    that cannot be read, or that lacks fields, is left out with a warning. A `README.md` that this function did not
    write is left as it is, also with a warning.

    Parameters
    ----------
    out : Path
        A folder, as `rmt_vn.figures.output.make` fills it.

    Returns
    -------
    list of Path
        The pages that were written.

    Raises
    ------
    OSError
        If `out` cannot be written.
    """
    shown = read_folder(out)
    pages = {"index.html": html_page.page(shown, out)}
    if _is_ours(out / "README.md"):
        pages["README.md"] = markdown_page.page(shown)
    else:
        warnings.warn(f"{out / 'README.md'} is not a gallery: it is left as it is", stacklevel=2)
    with staging_folder(out) as folder:
        staged = [folder / name for name in pages]
        for file, text in zip(staged, pages.values(), strict=True):
            # A manifest may hold half of a surrogate pair, which no encoding has.
            file.write_bytes(text.encode("utf-8", errors="replace"))
        return move_into(out, staged)


def _is_ours(readme: Path) -> bool:
    """Whether this page may be written: there is none yet, or one that was written here."""
    if not (readme.exists() or readme.is_symlink()):
        return True
    try:
        return is_plain(readme) and readme.read_bytes().startswith(markdown_page.FIRST_LINE.encode())
    except OSError:
        return False
