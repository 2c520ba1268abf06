# Two targets matter: `make demo` walks the whole road, `make test` proves it. Both install what they need.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help install ocr chromium demo compare compare-batches phantom mini-mias test test-slow lint app bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo       install, then go from phantom atlas PDFs to predictions on real DICOMs (demo/predictions/report.html)"
	@echo "make test       install, then run the test suite (no hub, no GPU)"
	@echo "make test-slow  the tests that take minutes"
	@echo "make compare    pretrained against unpretrained encoder with few labels, three seeds (after make demo)"
	@echo "make compare-batches  an exact batch of 64 against 8 pairs at a time, three seeds (after make demo)"
	@echo "make phantom    captions against labels on phantoms, the paper's section 4 in small (hours; docs/results)"
	@echo "make mini-mias MINI_MIAS=DIR  what frozen encoders know of real films, after make phantom (docs/results)"
	@echo "make app        the demo page on the release in mamclip/ (after make demo)"
	@echo "make bench      speed and memory, as ratios"
	@echo "make lint       ruff check and ruff format --check"
	@echo "make clean      remove demo/ and mamclip/ (the virtual environment stays)"

install: $(READY)

$(READY): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "error: $(PYTHON) is older than 3.11; run make with PYTHON=python3.11 or newer"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || PYTHON=$(PYTHON) bash .ci/apt_install.sh python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench,demo,test]"
	@touch $@

ocr:
	@command -v tesseract >/dev/null || bash .ci/apt_install.sh tesseract-ocr

chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || bash .ci/apt_install.sh chromium

include demo.mk

phantom: $(READY)
	$(MAKE) -f experiments.mk phantom VENV=$(VENV)

mini-mias: $(READY)
	$(MAKE) -f experiments.mk mini-mias VENV=$(VENV)

test: $(READY) ocr chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(READY) ocr chromium
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

app: $(READY)
	$(BIN)/python app.py

clean:
	rm -rf demo mamclip
