"""Whether samples of a class are of that class, as a classifier sees it."""

import numpy as np

__all__ = ['class_agreement', 'default_classifier']


def default_classifier():
  """scikit-learn's `SVC()`; an `ImportError` that names the extra."""
  try:
    from sklearn import svm
  except ImportError as e:
    raise ImportError(
        'The default of `classifier_fn` needs the package scikit-learn: pip '
        "install 'tfp-flowopt[report]'"
    ) from e
  return svm.SVC()


def class_agreement(samples, real, train, classifier_fn, rng):
  """Compares a classifier of real images with one of samples.

  Both are fitted to as many images, those that are fewer: more would make
  either of them better.

  Args:
    samples: Pair of vectors `[N, D]` and labels `[N]`.
    real: The same, of held-out images.
    train: The same, of training images.
    classifier_fn: Makes an estimator with `fit` and `predict`.
    rng: NumPy's generator, which chooses the images of the larger set.

  Returns:
    Dictionary of `agreement`, `accuracy_of_real` and `accuracy_from_samples`,
    see `SampleReport`.
  """
  num = min(len(samples[0]), len(train[0]))

  def fitted(x, labels):
    chosen = rng.permutation(len(x))[:num]
    if np.all(labels[chosen] == labels[chosen[0]]):
      raise ValueError(
          f'Argument `labels`: {num} images, as many as there are of samples '
          'and of training images, are too few to tell classes: all drawn have '
          'one. Give more.'
      )
    classifier = classifier_fn()
    classifier.fit(x[chosen], labels[chosen])
    return classifier

  def accuracy(classifier, x, labels):
    return float(np.mean(np.asarray(classifier.predict(x)) == labels))

  of_real, of_samples = fitted(*train), fitted(*samples)
  return {
      'agreement': accuracy(of_real, *samples),
      'accuracy_of_real': accuracy(of_real, *real),
      'accuracy_from_samples': accuracy(of_samples, *real),
  }
