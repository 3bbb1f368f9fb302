"""The report: a page to look at what was found in a video, and one that lists the videos of a folder.

`data` says what a page shows, `pack` makes it small, `page` joins it with the parts in `web/` to one file that needs
nothing else.
"""

from relact.viz.report.data import Film, Found, Look, ReportData, SegmentColumns, Truth
from relact.viz.report.page import read_summary, write_index, write_page

__all__ = [
    "Film",
    "Found",
    "Look",
    "ReportData",
    "SegmentColumns",
    "Truth",
    "read_summary",
    "write_index",
    "write_page",
]
