"""Files of tests that pytest runs."""

def pytest_tests(srcs, large = [], **kwargs):
    """A `py_test` for each file, which knows nothing of Bazel.

    Args:
      srcs: The files that pytest runs; `a/test_b.py` makes a target `a/test_b`.
      large: Those that may take more than the 5 minutes of a medium test.
      **kwargs: As for `py_test`.
    """
    for src in srcs:
        native.py_test(
            name = src[:-len(".py")],
            size = "large" if src in large else "medium",
            srcs = [
                src,
                "//tools:run_pytest.py",
            ],
            main = "//tools:run_pytest.py",
            args = ["$(location %s)" % src],
            # With __init__.py in their folders, all conftest.py would be one
            # module.
            legacy_create_init = False,
            **kwargs
        )
