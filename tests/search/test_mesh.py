"""Under `shard_map` over four devices every kind of search compiles with the default check, and talks to nobody."""

import pytest

from tests.helpers.tiny import start_python, worker_report


@pytest.mark.slow
def test_no_search_has_a_collective(tmp_path):
    report = worker_report(start_python("-m", "tests.helpers.search_mesh_worker", cache=tmp_path))
    assert len(report) == 8
    for name, found in report.items():
        assert found["collectives"] == [], name
        assert min(found["visits"]) >= 12, name
