"""What a run looks like: its report, charts and boards."""

from jzero.show.report import write_report

__all__ = ["write_report"]
