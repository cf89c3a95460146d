"""Packaging of tfp_flowopt; build and tool settings are in pyproject.toml.

`pip install .` needs TFP's release. `TFP_NIGHTLY=1 pip install .` builds
`tfp-flowopt-nightly`, the same with `tfp-nightly`: both install the package
`tensorflow_probability`, so an environment must have one of them.
"""

import os
import pathlib

import setuptools

_ROOT = pathlib.Path(__file__).parent
_NIGHTLY = os.environ.get('TFP_NIGHTLY', '0') == '1'

if _NIGHTLY:
  _NAME = 'tfp-flowopt-nightly'
  _TFP = ['numpy', 'tfp-nightly>=0.26.0.dev0']
else:
  _NAME = 'tfp-flowopt'
  # TFP 0.25 breaks on NumPy 2.4 (tfb.Pad, among others); the nightly does not.
  _TFP = ['numpy<2.4', 'tensorflow-probability>=0.25,<0.26']

setuptools.setup(
    name=_NAME,
    version='0.1.0',
    description=(
        'Normalizing flows for TensorFlow Probability that start at the '
        'closed-form likelihood optimum and stay bi-Lipschitz.'
    ),
    long_description=(_ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={'Paper': 'https://arxiv.org/abs/2102.06539'},
    keywords=[
        'normalizing flows',
        'TensorFlow Probability',
        'density estimation',
        'Lipschitz',
        'variational inference',
    ],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Mathematics',
        'Typing :: Typed',
    ],
    # The signatures of all public names have types.
    package_data={'tfp_flowopt': ['py.typed']},
    packages=setuptools.find_packages(include=['tfp_flowopt', 'tfp_flowopt.*']),
    python_requires='>=3.11',
    install_requires=[
        *_TFP,
        'absl-py',
        # `make test-matrix` has the oldest of these. TFP 0.25 needs 2.18; with
        # TFP 0.24 and 2.16 all works but the circulant optimum in XLA, which
        # has no FFT of float64 there.
        'tensorflow>=2.18,<2.22',
        # TFP needs Keras 2 next to TensorFlow's Keras 3.
        'tf-keras>=2.18,<2.22',
    ],
    extras_require={
        # Curves and sample grids.
        'plot': ['matplotlib'],
        # The classifier of samples (`diagnostics.sample_report`).
        'report': ['scikit-learn'],
        # Two photographs and tables to train on, and pictures; Pillow decodes
        # the former.
        'examples': ['matplotlib', 'pillow', 'scikit-learn', 'scipy'],
        # To look at what a run writes for it.
        'tensorboard': ['tensorboard'],
        # Its data sets, as `tfds:NAME`.
        'tfds': ['tensorflow-datasets>=4.9.3'],
        # ONNX files (`export.save_onnx`); 1.17 goes with TensorFlow 2.21.
        'onnx': ['onnx', 'onnxruntime', 'tf2onnx>=1.17'],
        # What the library itself can make use of.
        'all': ['matplotlib', 'onnx', 'onnxruntime', 'scikit-learn',
                'tensorboard', 'tensorflow-datasets>=4.9.3', 'tf2onnx>=1.17'],
        # scikit-learn is also the reference the optimum is tested against; the
        # documentation is built, and its notebook executed, by tests.
        'dev': ['ipykernel', 'matplotlib', 'mkdocs-jupyter', 'mkdocs-material',
                'mkdocstrings[python]', 'mypy', 'nbclient', 'pillow', 'pytest',
                'pytest-cov', 'pytest-xdist', 'pyyaml', 'ruff', 'scikit-learn',
                'setuptools'],
    },
)
