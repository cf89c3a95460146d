"""SavedModel export of flows."""

import itertools
import os
from typing import Any

import tensorflow as tf

from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt.export import exportable
from tfp_flowopt.export import served_flow
from tfp_flowopt.export import warmup_requests
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import new_folder
from tfp_flowopt.internal import types

__all__ = ['save']


def save(
    distribution: types.TransformedDistribution,
    path: types.Path,
    bits: int = 8,
    certified: bool = False,
    dequantization: flows.VariationalDequantization | None = None,
) -> str:
  """Exports a flow as a SavedModel that needs only TensorFlow.

  It holds what serving needs: the rescaled kernels of Lipschitz layers, and
  neither the trained ones nor the rescaling. The distribution is not changed.
  TensorFlow Serving takes `path` for a version of a model if its name is a
  number, and warms it up with the requests that are in it.

  Its signatures take named tensors and return dictionaries, with any number
  of images `N`:

  * `log_prob(images)`: uint8 `[N, H, W, C]` to `log_prob` `[N]` (nats per
    image, of the data scaled by `2^-bits`) and `bits_per_dim` `[N]`. The
    dequantisation noise is the same at each call.
  * `encode(images)`: to `latents`, float32 `[N, H W C]`.
  * `decode(latents)`: to `images`, uint8 `[N, H, W, C]`; undoes `encode`.
  * `sample(num_samples, seed, temperature)`: int32 `[]`, int32 `[2]`, float32
    `[]` to `images`.

  With `certified` there is one more:

  * `certified_log_prob(images, radius)`: float32 `[]` to `lower` and `upper`
    `[N]`, `diagnostics.certified_log_prob` of the images with the noise of
    `log_prob`. The radius is Euclidean, in the units of the data: `2^-bits` is
    one grey level.

  Those of a flow of vectors take and return `x`, `[N, D]` in the type of the
  flow, in place of `images`, and `log_prob` has no bits/dim.

  Those of a flow with `conditioning` have one more input of that name, int64
  labels `[N]` or float32 features; `sample` has it instead of `num_samples`.

  Each fails with an `InvalidArgumentError` that names the input for shapes
  other than these, another `N` of `conditioning`, labels out of range, numbers
  that are not finite, and a negative `temperature` or `num_samples`. (XLA
  leaves out all checks but those of shapes.)

  #### Example

  ```python
  fo.export.save(distribution, 'my_flow/1')
  served = tf.saved_model.load('my_flow/1')  # no tfp_flowopt needed
  served.signatures['log_prob'](images=images)['bits_per_dim']
  ```

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal by a flow
      of float32 images or of vectors, initialised.
    path: Directory to write, which must not exist or be empty; may be a link to
      such a one. Missing parents are made. Nothing is left after an error.
    bits: Number of bits of an image value that the flow was trained on; not
      for vectors.
    certified: Whether to serve `certified_log_prob`, too.
    dequantization: Noise of likelihoods in place of uniform noise, such as
      `Trainer.dequantization`; not for vectors.

  Returns:
    The absolute `path`, as a string.

  Raises:
    TypeError: If `path` is no path.
    ValueError: If `certified` is no `bool`, `distribution` is of another kind,
      type or base, not initialised or not finite, if `bits` is out of range, if
      `dequantization` is of other images, or if `path` holds something already.
    OSError: If `path` cannot be written.
  """
  arguments.check_choice('certified', certified, (False, True))
  arguments.check_int('bits', bits, least=1, most=8)
  exportable.check(distribution)
  exportable.check_noise(dequantization, distribution, bits)
  distribution = exportable.without_recomputation(distribution)
  if distribution.event_shape.rank == 3:
    served: Any = served_flow.ServedImages(
        distribution, certified, int(bits), dequantization
    )
  else:
    served = served_flow.ServedFlow(distribution, certified)
  root = tf.Module(name='served_flow')
  with new_folder.new_folder(path, last='saved_model.pb') as unfinished:
    with lipschitz.frozen(distribution):
      signatures = {
          name: tf.function(
              served.functions[name], autograph=False
          ).get_concrete_function(*specs)
          for name, specs in served.inputs.items()
      }
      # Functions do not keep variables; the frozen kernels have no other owner.
      variables = itertools.chain.from_iterable(
          function.graph.variables for function in signatures.values()
      )
      root.weights = list({id(v): v for v in variables}.values())
    # With custom gradients, each model that is loaded would stay in memory:
    # TensorFlow registers them for ever. A served flow has no use for them.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(
        root, str(unfinished), signatures=signatures, options=options
    )
    warmup_requests.write_requests(unfinished, served.inputs)
  return os.path.abspath(path)
