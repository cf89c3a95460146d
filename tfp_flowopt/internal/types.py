"""Types in signatures.

TensorFlow and TFP say no types: to a checker their classes are `Any`, and the
unions here say to the reader what is meant.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
from typing import Any
from typing import Literal
from typing import TypeAlias
from typing import TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    'Activation',
    'Bijector',
    'ConditioningSpec',
    'Context',
    'DType',
    'DataLike',
    'Dataset',
    'Distribution',
    'Kwargs',
    'Memory',
    'NamedImages',
    'Network',
    'Numbers',
    'Path',
    'Schedule',
    'Seed',
    'Shape',
    'TensorLike',
    'TransformedDistribution',
    'VectorCoupling',
]

Bijector: TypeAlias = tfp.bijectors.Bijector
Distribution: TypeAlias = tfp.distributions.Distribution
TransformedDistribution: TypeAlias = tfp.distributions.TransformedDistribution

# What `tf.convert_to_tensor` takes.
TensorLike: TypeAlias = (
    tf.Tensor | tf.Variable | np.ndarray | float | Sequence[Any]
)
Dataset: TypeAlias = tf.data.Dataset
# Data of a flow, as a whole or in batches.
DataLike: TypeAlias = TensorLike | Dataset
DType: TypeAlias = tf.DType | np.dtype | type | str
Shape: TypeAlias = tf.TensorShape | Sequence[int]
# Two integers, of a stateless generator.
Seed: TypeAlias = tf.Tensor | np.ndarray | Sequence[int]
# What a function takes and gives back in kind.
Numbers = TypeVar('Numbers', float, np.ndarray, tf.Tensor)

# What a flow depends on: a number of classes, or the shape of features.
ConditioningSpec: TypeAlias = int | Sequence[int]
# Arguments of a bijector, such as `conditioning`.
Kwargs: TypeAlias = Mapping[str, Any]
# Maps values, and `conditioning` if it takes some.
Network: TypeAlias = Callable[..., tf.Tensor]
# What `with` takes, and gives nothing.
Context: TypeAlias = contextlib.AbstractContextManager[None]
Path: TypeAlias = str | os.PathLike[str]
# Images `[N, H, W, C]`, and what they are.
NamedImages: TypeAlias = Sequence[tuple[str, np.ndarray]]

Activation: TypeAlias = Literal['max_min', 'smooth_max_min', 'relu']
Memory: TypeAlias = Literal['auto', 'reversible', 'stored', 'unrolled']
Schedule: TypeAlias = Literal['constant', 'cosine']
VectorCoupling: TypeAlias = Literal[
    'affine', 'spline', 'autoregressive', 'residual', 'convex'
]
