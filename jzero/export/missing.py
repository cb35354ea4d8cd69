"""Extras, which not every installation has."""

from __future__ import annotations

import importlib.util


def needs(*packages: str) -> None:
    """Raises ValueError with what to type where a package is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'this needs {" and ".join(missing)}: pip install "jzero[export]"')
