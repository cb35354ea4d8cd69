"""The report of a run: charts and boards."""

from jzero.show.report import write_report

__all__ = ["write_report"]
