"""In 64-bit mode (`JAX_ENABLE_X64`) jzero searches, trains and acts, in the 32 bits that it counts in."""

import pytest

from tests.helpers.tiny import start_python, worker_report


@pytest.mark.slow  # .ci/run has it in its 64-bit step
def test_searches_training_and_acting_stay_in_32_bits(cache):
    report = worker_report(start_python("-m", "tests.helpers.wide_worker", cache=cache, JAX_ENABLE_X64="1"))
    assert report.pop("mode") == "float64"
    assert set(report) == {"muzero", "gumbel", "stochastic", "train alphazero", "train muzero"}
    wide = {name: [dtype for dtype in found if "64" in dtype] for name, found in report.items()}
    assert not any(wide.values()), wide
