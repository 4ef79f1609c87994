"""Reports of run directories: one offline HTML page, files for other tools, a table for terminals, a comparison."""

from __future__ import annotations

from codesign.report.compare import Comparison, compare
from codesign.report.sheet import Sheet, load_sheet, newest_run
from codesign.report.write import FORMATS, report

write_report = report
"""The name under which ``codesign`` exports it: the package itself is called report."""

__all__ = ["FORMATS", "Comparison", "Sheet", "compare", "load_sheet", "newest_run", "report", "write_report"]
