"""A map of latents to parameters: a linear one, and a flow that starts there.

All maps here go from latents to parameters in `forward`, as those of a
`tfd.TransformedDistribution` do. The layers of a flow are explicit in
`inverse`, the direction in which likelihoods are trained: from data to latents.
Variational inference and samplers have no data; they only ever go from latents
to parameters. So a flow is inverted as a whole, by `tfb.Invert`.

* A residual layer then samples with one evaluation of its network, rather than
  by a fixed-point iteration.
* An affine coupling costs the same in both directions, one network and a closed
  form. But it levels off where the input of `inverse` is large. Inverted, that
  is a latent, and by default it would have to be 30 standard deviations out.
  Not inverted, it is a parameter, and in a funnel those have to be large: the
  divergences came out a tenth larger.
"""

from absl import flags
import numpy as np
import onednn  # noqa: F401
import tensorflow as tf
import tensorflow_probability as tfp
import variational
import vector_flows

tfb = tfp.bijectors

__all__ = ['LAYERS', 'flow_map', 'linear_map']

LAYERS = flags.DEFINE_enum(
    'layers', 'affine', vector_flows.LAYERS, 'Layers of the flow.'
)
_LIPSCHITZ = flags.DEFINE_float(
    'lipschitz', 1.0, "Constant of the affine couplings' networks."
)
_SCALE_BOUND = flags.DEFINE_float(
    'scale_bound', 1.5, "Bound of the affine couplings' log-scales."
)
_TAIL_BOUND = flags.DEFINE_float(
    'tail_bound', 30.0, 'Size of latents at which affine couplings level off.'
)


def linear_map(loc, scale):
  """A trainable affine map of the latents.

  Args:
    loc: `[D]` array, the initial shift.
    scale: The initial scales: `[D]` for a diagonal, `[D, D]` for a lower
      triangular matrix with a positive diagonal.

  Returns:
    `tfb.Chain` of a shift and a scale.
  """
  if scale.ndim == 1:
    scale = tfb.ScaleMatvecDiag(
        tfp.util.TransformedVariable(scale, tfb.Exp(), dtype=tf.float32)
    )
  else:
    triangular = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
    scale = tfb.ScaleMatvecTriL(
        tfp.util.TransformedVariable(scale, triangular, dtype=tf.float32)
    )
  loc = tf.Variable(loc, dtype=tf.float32)
  return tfb.Chain([tfb.Shift(loc), scale])


def flow_map(linear):
  """A trainable flow that starts as a linear map.

  The last thing it does to latents is a copy of the linear map, trained along.
  Before it come the layers of the flags, identities at first, each with an
  order of the features of its own.

  Args:
    linear: From `linear_map`.

  Returns:
    Bijector, `tfb.Invert` of the flow.
  """
  shift, scale = linear.bijectors
  size = shift.shift.shape[-1]
  # What is in the first half of an order conditions the other half, and in the
  # next layer the reverse. Riffles soon part any two features.
  order, orders = np.arange(size), []
  while len(orders) < variational.NUM_LAYERS.value:
    orders += [order, order[::-1]]
    order = np.concatenate([order[::2], order[1::2]])
  orders = orders[: variational.NUM_LAYERS.value]
  layers, mixings = [], []
  for i, order in enumerate(orders):
    layers.append(
        vector_flows.make_layer(
            LAYERS.value,
            size,
            variational.HIDDEN.value,
            100 * variational.SEED.value + 10 * i,
            lipschitz=_LIPSCHITZ.value,
            scale_bound=_SCALE_BOUND.value,
            tail_bound=_TAIL_BOUND.value,
        )
    )
    following = orders[i + 1] if i + 1 < len(orders) else np.arange(size)
    # x[order] -> x[following].
    change = np.argsort(order)[following]
    mixings.append(tfb.Invert(tfb.Permute(change)))
  copy = linear_map(shift.shift.numpy(), scale.scale.to_dense().numpy())
  bijectors = vector_flows.mixed(layers, mixings, size)
  return tfb.Invert(tfb.Chain([*bijectors, tfb.Invert(copy)]))
