"""Where random numbers come from: the type of every `rng` argument (Scientific Python's SPEC 7)."""

from __future__ import annotations

import numpy as np

__all__ = ["RNG"]

# A Generator is used as it is; a seed makes one; None takes fresh entropy of the operating system.
RNG = np.random.Generator | np.random.SeedSequence | int | None
