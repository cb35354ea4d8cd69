"""`more.txt` lists tests that there are, and the quick suite keeps a test of each file that it names."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_all_that_is_left_out_is_a_test_and_each_file_keeps_others():
    lines = [line for line in (HERE / "more.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))
    for file in {line.partition("::")[0] for line in lines}:
        text = (HERE / file).read_text()
        names = {line.partition("::")[2] for line in lines if line.startswith(f"{file}::")}
        tests = set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
        assert {name.partition("[")[0] for name in names} <= tests, file
        assert tests - names, f"{file}: every test is left out"
