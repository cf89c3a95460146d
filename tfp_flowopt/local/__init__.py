"""What bijectors do within a region: constants, and log-determinants."""

from tfp_flowopt.local import compositions  # noqa: F401, registers rules
from tfp_flowopt.local import constants  # noqa: F401
from tfp_flowopt.local import couplings  # noqa: F401
from tfp_flowopt.local import curves  # noqa: F401
from tfp_flowopt.local import flows  # noqa: F401
from tfp_flowopt.local import residuals  # noqa: F401
from tfp_flowopt.local import scalings  # noqa: F401

__all__ = []
