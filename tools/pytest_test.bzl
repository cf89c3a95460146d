"""Tests that pytest runs."""

def pytest_test(name, srcs, data = [], **kwargs):
    """A `py_test` of files that know nothing of Bazel.

    Args:
      name: Name of the target.
      srcs: The files that pytest runs.
      data: As for `py_test`.
      **kwargs: As for `py_test`.
    """
    native.py_test(
        name = name,
        srcs = srcs + ["//tools:run_pytest.py"],
        main = "//tools:run_pytest.py",
        args = ["$(location %s)" % src for src in srcs],
        # pytest finds its settings above the tests.
        data = data + ["//:pyproject.toml"],
        # With __init__.py in their folders, all conftest.py would be one module.
        legacy_create_init = False,
        **kwargs
    )
