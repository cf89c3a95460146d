"""Gradients of what an equation defines."""

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['differentiable']


def differentiable(solution, residual, adjoint):
  """The solution of `residual = 0`, with the implicit function's gradients.

  Args:
    solution: `Tensor`, the solution, a constant.
    residual: `Tensor` of its shape, `f(solution) - x`, which depends on `x` and
      the weights; they get their gradients through it.
    adjoint: The function `u -> J^-T u`, `J` the Jacobian of `f` there.

  Returns:
    `Tensor` like `solution`. It has no second derivatives.
  """

  @custom_gradients.custom_gradient
  def newton(residual):
    def gradient(upstream):
      return tf.raw_ops.PreventGradient(
          input=-adjoint(upstream),
          message='`forward` has first derivatives only.',
      )

    return tf.zeros_like(residual), gradient

  return solution + newton(residual)
