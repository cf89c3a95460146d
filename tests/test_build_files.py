"""The BUILD files say what the Python files import."""

import pathlib

import update_build_files

ROOT = pathlib.Path(__file__).parents[1]

PROJECT = {
    'tfp_flowopt/__init__.py': 'from tfp_flowopt import flows',
    'tfp_flowopt/flows/__init__.py': (
        'from tfp_flowopt.flows.models import image_flow'
    ),
    'tfp_flowopt/flows/models.py': (
        'import numpy as np\n'
        'from tfp_flowopt.flows import sampling\n'
        'from tfp_flowopt.internal import lanczos\n'
    ),
    'tfp_flowopt/flows/sampling.py': '',
    'tfp_flowopt/internal/__init__.py': '',
    'tfp_flowopt/internal/lanczos.py': '',
    'examples/train.py': (
        'import tfp_flowopt as fo\n'
        'def main():\n'
        '  import photographs\n'
        "if __name__ == '__main__':\n"
        '  main()\n'
    ),
    'examples/photographs.py': '',
    'tests/conftest.py': '',
    'tests/support/__init__.py': '',
    'tests/support/images.py': '',
    'tests/flows/conftest.py': '',
    'tests/flows/test_models.py': (
        'from support import images\n'
        'from tfp_flowopt.flows import sampling\n'
        "PROGRAM = ROOT / 'examples' / 'train.py'\n"
    ),
}
HEAD = """
package(default_visibility = ["//:__subpackages__"])

licenses(["notice"])
"""
FLOWS = """
py_library(
    name = "flows",
    srcs = ["__init__.py"],
    deps = [":models"],
)

py_library(
    name = "models",
    srcs = ["models.py"],
    deps = [
        ":sampling",
        "//tfp_flowopt/internal:lanczos",
    ],
)

py_library(
    name = "sampling",
    srcs = ["sampling.py"],
)
"""
# `internal` is there when the package is imported, though not by name.
PACKAGE = """
py_library(
    name = "tfp_flowopt",
    srcs = ["__init__.py"],
    deps = [
        "//tfp_flowopt/flows",
        "//tfp_flowopt/internal",
    ],
)
"""
PROGRAM = """
py_binary(
    name = "train",
    srcs = ["train.py"],
    imports = ["."],
    deps = [
        ":photographs",
        "//tfp_flowopt",
    ],
)
"""
# The packages of what it imports, for their `__init__.py` runs.
TEST = """
pytest_test(
    name = "test_models",
    srcs = ["test_models.py"],
    data = ["//examples:train"],
    imports = [".."],
    deps = [
        ":conftest",
        "//tests:conftest",
        "//tests/support",
        "//tests/support:images",
        "//tfp_flowopt",
        "//tfp_flowopt/flows:sampling",
    ],
)
"""


def test_build_files_are_up_to_date():
  texts = update_build_files.build_files(ROOT)
  for path, text in texts.items():
    assert (ROOT / path).read_text(encoding='utf-8') == text, (
        'Please run python tools/update_build_files.py.'
    )
  folders = {path.parts[0] for path in texts}
  there = {
      path.relative_to(ROOT)
      for folder in folders
      for path in (ROOT / folder).rglob('BUILD')
  }
  assert there == texts.keys()


def test_rules(tmp_path):
  for name, text in PROJECT.items():
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
  texts = {
      str(path): text
      for path, text in update_build_files.build_files(tmp_path).items()
  }
  assert texts.keys() == {
      'examples/BUILD',
      'tests/BUILD',
      'tests/flows/BUILD',
      'tests/support/BUILD',
      'tfp_flowopt/BUILD',
      'tfp_flowopt/flows/BUILD',
      'tfp_flowopt/internal/BUILD',
  }
  assert texts['tfp_flowopt/flows/BUILD'].endswith(HEAD + FLOWS)
  assert texts['tfp_flowopt/BUILD'].endswith(HEAD + PACKAGE)
  assert texts['examples/BUILD'].endswith(PROGRAM)
  assert texts['tests/flows/BUILD'].endswith(TEST)
