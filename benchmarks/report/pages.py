"""Pages of docs/ with sections that are made from results.

A section stands between `<!-- results: NAME ARGUMENTS -->` and `<!-- end -->`.
"""

import pathlib
import re
import textwrap

from harness import records

from report import budget_trade
from report import certified_anomaly
from report import outside_certifier
from report import pictures
from report import scaling
from report import stability
from report import tables
from report import training
from report import vector_tables
from report import verdict

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DOCS = _ROOT / 'docs'
_SECTION = re.compile(
    r'(?<=<!-- results: )(.*?)( -->\n\n).*?(\n\n( *)<!-- end -->)', re.DOTALL
)
# Functions of the function `results`, and maybe of more arguments.
SECTIONS = {
    **stability.SECTIONS,
    **training.SECTIONS,
    **tables.SECTIONS,
    **budget_trade.SECTIONS,
    **certified_anomaly.SECTIONS,
    **outside_certifier.SECTIONS,
    **scaling.SECTIONS,
    **vector_tables.SECTIONS,
    **verdict.SECTIONS,
}


def results(suite):
  """The records of a suite."""
  return records.read(_ROOT / 'benchmarks' / 'results' / f'{suite}.jsonl')


def _section(match):
  name, *arguments = match[1].split()
  arguments = [int(x) if x.isdigit() else x for x in arguments]
  text = textwrap.indent(SECTIONS[name](results, *arguments), match[4])
  return match[1] + match[2] + text + match[3]


def pages():
  """Dictionary of the path of each page with such sections and its new text."""
  texts = {path: path.read_text('utf-8') for path in _DOCS.glob('*.md')}
  return {
      path: _SECTION.sub(_section, text)
      for path, text in texts.items()
      if _SECTION.search(text)
  }


def write():
  """Writes all pages and pictures."""
  for path, text in pages().items():
    path.write_text(text, encoding='utf-8')
  pictures.draw(_DOCS / 'images', results)
