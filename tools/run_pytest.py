"""Runs pytest on files of tests: the main program of each test in Bazel."""

import sys

import pytest

if __name__ == '__main__':
  # Bazel's folders of files are not written to.
  sys.exit(pytest.main(['-p', 'no:cacheprovider', *sys.argv[1:]]))
