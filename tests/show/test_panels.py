"""The axis of the curve beside the board."""

import json
import shutil
import subprocess

import pytest

from jzero.show.page import as_one, shown
from tests.helpers.javascript import needs_node


@needs_node
@pytest.mark.parametrize(
    ("known", "zero_sum", "ends"),
    [
        ([], True, [-1, 1]),
        ([0.3, -0.2], True, [-1, 1]),
        ([0.5, 3.0], True, [-3, 3]),  # the line of zero stays in the middle
        ([-4.0, 1.0], True, [-4, 4]),
        ([], False, [0, 1]),
        ([0.25, 0.5], False, [0, 1]),
        ([-0.5, 0.5], False, [-0.5, 1]),
        ([900.0, 1000.0], False, [0, 1000]),  # a tenth less looks a tenth less
        ([-48.0, -4.0], False, [-48, 0]),
        ([7.0], False, [0, 7]),  # one value has an axis too
    ],
)
def test_the_axis_holds_zero_and_all_values(known, zero_sum, ends):
    program = f"{as_one(map(shown, ('dom.js', 'panels.js')))}\n"
    program += f"process.stdout.write(JSON.stringify(ends({json.dumps(known)}, {json.dumps(zero_sum)})))"
    child = subprocess.run([shutil.which("node"), "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(child.stdout) == ends
