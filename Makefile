# Two commands need nothing but Python 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal
INSTALLED := $(VENV)/.installed
WORKDIR ?= demo

# TensorFlow's start-up messages (no GPU here, and so on) are not ours.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-matrix coverage lint docs notebook install lock clean

# Trains on two photographs, compares with the closed-form optimum, exports; and
# draws digits of each class, by a flow that `tf_keras.Model.fit` trains.
demo: $(INSTALLED)
	$(BIN)/python examples/train_image_flow.py --workdir=$(WORKDIR) \
	  --train_steps=400 --batch_size=16 --optimizer=muon \
	  --learning_rate=1e-2 --ema_decay=0.99 --eval_every=200 \
	  --dequantization=variational --nolocal_constants
	$(BIN)/python examples/keras_fit.py --conditional --epochs=5 \
	  --picture=$(WORKDIR)/digits.png

test: lint
	$(PYTEST) tests

# The same with other versions of Python, TensorFlow, TFP and NumPy, those that
# the machine has a Python for. ROWS=oldest,nightly picks some.
ROWS ?= oldest,python-3.12,python-3.13,nightly
test-matrix:
	$(PYTHON) tools/run_matrix.py --rows=$(ROWS)

# The same, with the lines that no test reaches.
coverage: $(INSTALLED)
	$(PYTEST) tests --cov=tfp_flowopt --cov-report=term-missing:skip-covered

# The documentation as a site, in site/.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The tutorial's outputs, after a change of what it shows.
notebook: $(INSTALLED)
	$(BIN)/python tools/execute_notebook.py docs/tutorial.ipynb

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(INSTALLED)

$(INSTALLED): requirements.lock setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# After a change of setup.py's requirements; needs uv.
lock:
	uv pip compile --quiet --extra dev --universal --generate-hashes \
	  --no-header --python-version 3.11 --no-emit-index-url \
	  --output-file requirements.lock setup.py

clean:
	rm -rf $(VENV) demo site build dist *.egg-info .pytest_cache .ruff_cache \
	  .mypy_cache .coverage
