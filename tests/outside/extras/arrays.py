"""An export format: the arrays of NumPy's npz."""

from pathlib import Path

import numpy as np

from lossgrid.surface import Surface


def arrays(surface: Surface, path: Path) -> None:
    """Write coordinates, values and standard errors."""
    errors = {f"{name}_error": array for name, array in surface.errors.items()}
    np.savez(path, alpha=surface.alpha, beta=surface.beta, **surface.values, **errors)
