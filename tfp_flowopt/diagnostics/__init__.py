"""Diagnostics of flows: reports and pictures."""

from tfp_flowopt.diagnostics.balance import volume_balance
from tfp_flowopt.diagnostics.certified_log_prob import CertifiedLogProb
from tfp_flowopt.diagnostics.certified_log_prob import LogProbRange
from tfp_flowopt.diagnostics.certified_log_prob import certified_log_prob
from tfp_flowopt.diagnostics.layer_plot import plot_layers
from tfp_flowopt.diagnostics.layer_reports import LayerReport
from tfp_flowopt.diagnostics.layer_reports import LayerReporter
from tfp_flowopt.diagnostics.layer_reports import layer_report
from tfp_flowopt.diagnostics.level_reconstruction import LevelReconstruction
from tfp_flowopt.diagnostics.level_reconstruction import reconstruction_errors
from tfp_flowopt.diagnostics.local_constants import LocalLipschitz
from tfp_flowopt.diagnostics.local_constants import local_lipschitz
from tfp_flowopt.diagnostics.optimum_report import OptimumReport
from tfp_flowopt.diagnostics.optimum_report import optimum_report
from tfp_flowopt.diagnostics.plots import plot_price
from tfp_flowopt.diagnostics.plots import plot_samples
from tfp_flowopt.diagnostics.plots import plot_spectra
from tfp_flowopt.diagnostics.plots import plot_training_curve
from tfp_flowopt.diagnostics.sample_report import SampleReport
from tfp_flowopt.diagnostics.sample_report import sample_report

__all__ = [
    'CertifiedLogProb',
    'LayerReport',
    'LayerReporter',
    'LevelReconstruction',
    'LocalLipschitz',
    'LogProbRange',
    'OptimumReport',
    'SampleReport',
    'certified_log_prob',
    'layer_report',
    'local_lipschitz',
    'optimum_report',
    'plot_layers',
    'plot_price',
    'plot_samples',
    'plot_spectra',
    'plot_training_curve',
    'reconstruction_errors',
    'sample_report',
    'volume_balance',
]
