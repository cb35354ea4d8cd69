"""A mark for tests of the offline page's scripts."""

import shutil

import pytest

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
