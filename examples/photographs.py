"""The images that the examples use if they are given none."""

__all__ = ['load_photographs']


def load_photographs():
  """The two photographs of scikit-learn (the `[examples]` extra).

  Returns:
    List of uint8 arrays `[H, W, 3]`.

  Raises:
    SystemExit: If scikit-learn or Pillow is missing.
  """
  try:
    from sklearn import datasets

    return datasets.load_sample_images().images
  except ImportError as e:
    raise SystemExit(
        'The default photographs need scikit-learn and Pillow: '
        "pip install 'tfp-flowopt[examples]', or give --data."
    ) from e
