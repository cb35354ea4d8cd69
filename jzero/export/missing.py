"""Checks for optional packages."""

from __future__ import annotations

import importlib.util


def needs(*packages: str) -> None:
    """Raises ValueError with the command to install if a package is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'this needs {" and ".join(missing)}: pip install "jzero[export]"')
