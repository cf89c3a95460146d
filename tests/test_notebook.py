"""The tutorial runs, and prints what it shows."""

import pathlib
import re

import execute_notebook
import nbformat
import numpy as np
import pytest

PATH = pathlib.Path(__file__).parents[1] / 'docs' / 'tutorial.ipynb'
NUMBER = re.compile(r'(?<![\w/])[+-]?\d+\.\d*(?![\w/])')


def numbers(text):
  """Those of a text, without findings: their words follow from numbers."""
  return [float(x) for x in NUMBER.findall(text.partition('\n* ')[0])]


@pytest.mark.slow
def test_the_tutorial():
  stored = nbformat.read(PATH, as_version=4)
  executed = execute_notebook.execute(PATH)
  stored_texts = execute_notebook.texts(stored)
  texts = execute_notebook.texts(executed)
  assert len(''.join(stored_texts)) > 1000
  for before, now in zip(stored_texts, texts, strict=True):
    # What rounding makes of 200 steps on another processor.
    np.testing.assert_allclose(
        numbers(now), numbers(before), rtol=0.05, atol=0.1
    )
  pictures = [
      [o.data.get('image/png') is not None for o in cell.get('outputs', [])
       if o.output_type == 'display_data']
      for cell in stored.cells
  ]
  assert sum(map(any, pictures)) == 3
