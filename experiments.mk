# Captions against labels, on data that anyone has: `make phantom`, and `make mini-mias MINI_MIAS=DIR` after it.
# Each step is a command that you could type yourself; what is there already is not made again, and two shards of a
# learning curve share its runs. What is worth keeping goes into docs/results.
VENV      ?= .venv
PYTHON    ?= $(VENV)/bin/python
RESULTS   ?= results
MINI_MIAS ?=
THREADS   ?= $(shell nproc 2>/dev/null || echo 2)
P         := $(RESULTS)/phantom
M         := $(RESULTS)/mini-mias
KEPT      := results.json table.md table.tex scores.csv differences.csv learning_curves.png learning_curves.svg

.PHONY: phantom mini-mias
.DELETE_ON_ERROR:

$(RESULTS)/minilm/config.json:
	$(PYTHON) train_scripts/unpack_minilm.py --output $(RESULTS)/minilm

# 1. About 2,000 pairs in an atlas PDF, and a screening archive of 1,500 other patients.
$(P)/data/phantom.json:
	mkdir -p $(P)
	$(PYTHON) train_scripts/make_phantom.py --output $(P)/data --text-cases 1120 --scanned-cases 0 --patients 0 \
	    --embed-patients 1500 --height 384 --seed 11

$(P)/pairs/extraction.json: | $(P)/data/phantom.json
	$(PYTHON) train_scripts/extract_pairs.py --pdf $(P)/data/atlas_text.pdf --truth $(P)/data/atlas_text.truth.json \
	    --output $(P)/pairs

$(P)/records/dataset_info.json: | $(P)/data/phantom.json
	$(PYTHON) train_scripts/build_dataset.py --dataset embed --data-dir $(P)/data/embed --phantom \
	    --cache-dir $(P)/cache --output $(P)/records

# 2. Pretraining on the pairs.
$(P)/pretrained/results.json: | $(P)/pairs/extraction.json $(RESULTS)/minilm/config.json
	OMP_NUM_THREADS=$(THREADS) $(PYTHON) train_scripts/pretrain.py --config configs/pretrain_phantom.yaml \
	    --pairs $(P)/pairs --output $(P)/pretrained

# 3. Every run of the curve, by one process on each core; then the report.
CURVE := train_scripts/learning_curve.py --config configs/experiment_phantom.yaml --data $(P)/records \
         --encoders $(P)/pretrained none --output $(P)/curve
SHARDS := $(shell seq $(THREADS))
$(P)/curve/results.json: | $(P)/pretrained/results.json $(P)/records/dataset_info.json
	@pids=; for i in $(SHARDS); do \
	    OMP_NUM_THREADS=1 $(PYTHON) $(CURVE) --shard $$i/$(THREADS) & pids="$$pids $$!"; done; \
	    for pid in $$pids; do wait $$pid || exit 1; done
	$(PYTHON) $(CURVE) --report

phantom: $(P)/curve/results.json
	mkdir -p docs/results/phantom
	cp $(addprefix $(P)/curve/,$(KEPT)) docs/results/phantom/

# 4. mini-MIAS: pretraining on the captions outside each fold, then all encoders frozen.
$(M)/records/dataset_info.json:
	@test -d "$(MINI_MIAS)" || { echo "error: MINI_MIAS is no folder; give that of mini-MIAS: make mini-mias MINI_MIAS=DIR"; exit 2; }
	mkdir -p $(M)
	$(PYTHON) train_scripts/build_dataset.py --dataset mini_mias --data-dir $(MINI_MIAS) --captions \
	    --cache-dir $(M)/cache --output $(M)/records

$(M)/pairs/fold3/dataset_info.json: | $(M)/records/dataset_info.json
	$(PYTHON) train_scripts/mini_mias_experiment.py --data $(M)/records --write-pairs $(M)/pairs

$(M)/captions%/results.json: | $(M)/pairs/fold3/dataset_info.json $(P)/pretrained/results.json
	OMP_NUM_THREADS=$(THREADS) $(PYTHON) train_scripts/pretrain.py --config configs/pretrain_mini_mias.yaml \
	    --pairs $(M)/pairs/fold$* --vision-weights $(P)/pretrained --text-weights $(RESULTS)/minilm \
	    --output $(M)/captions$*

mini-mias: | $(foreach fold,0 1 2 3,$(M)/captions$(fold)/results.json)
	$(PYTHON) train_scripts/mini_mias_experiment.py --data $(M)/records --output $(M)/report \
	    --encoders phantoms=$(P)/pretrained 'captions=$(M)/captions{fold}'
	mkdir -p docs/results/mini-mias
	cp $(M)/report/results.json $(M)/report/table.md docs/results/mini-mias/
