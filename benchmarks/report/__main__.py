"""Writes every table and picture of docs/ that shows results.

  python benchmarks/report

From the files in benchmarks/results alone; run it after a benchmark has written
there.
"""

import pathlib
import sys

sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from report import pages  # noqa: E402

pages.write()
