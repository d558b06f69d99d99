# Niinuma et al. 2022, 4.3 and 4.6: faces registered in 2D or 3D, real or synthetic, tested in nine poses.
include make/settings.mk

.PHONY: faces-registration compare-registration results-registration
faces-registration:

ARCH ?= $(EDITOR)

# ---- presets ---------------------------------------------------------------------------------------------
POSES_DATA_smoke := --training 150 --validation 30 --test 10 --people 10 --size 96
POSES_DATA_quick := --training 1050 --validation 105 --test 80 --people 60 --size 224
POSES_DATA_long := --training 3000 --validation 300 --test 150 --people 100 --size 224
POSES_DATA_paper := --training 20000 --validation 1000 --test 500 --people 200 --size 288
POSES_SIZE_smoke := 64
POSES_SIZE_quick := 128
POSES_SIZE_long := 128
POSES_SIZE_paper := 224
# the other frames of a session teach alone (the discriminator would take half as long again), and are compared as
# they were registered, which is what the experiment asks about
POSES_LOSSES := w_adversarial=0 w_condition=0 w_cycle=0 shares=pair=1 register_pairs=False
POSES_GENERATOR_smoke := --epochs 2 --decay-epochs 1 --epoch-images 160 --config width=24 $(POSES_LOSSES)
POSES_GENERATOR_quick := --epochs 10 --decay-epochs 5 --epoch-images 2400 --config stem=8 d_stem=8 $(POSES_LOSSES)
POSES_GENERATOR_long := --epochs 30 --decay-epochs 12 --epoch-images 6400 --config stem=8 d_stem=8 $(POSES_LOSSES)
POSES_GENERATOR_paper := --preset paper
POSES_CLASSIFIER_smoke := --max-steps 30 --arch tiny
POSES_CLASSIFIER_quick := --max-steps 900 --schedule cosine --ema 0.99 --patience 99
POSES_CLASSIFIER_long := --max-steps 2000 --schedule cosine --ema 0.99 --patience 99
POSES_CLASSIFIER_paper :=
# what chooses the editor's epoch need not read as well as what is tested
POSES_READER_smoke := $(POSES_CLASSIFIER_smoke)
POSES_READER_quick := --max-steps 300 --schedule cosine --ema 0.99 --patience 99
POSES_READER_long := $(POSES_READER_quick)
POSES_READER_paper := $(POSES_CLASSIFIER_paper)
# six levels an AU, as Niinuma et al. tell them apart; their expected value is what is read
POSES_HEAD := --tasks au_level
# a classifier that learns nine poses at once
POSES_TURNED_CLASSIFIER_smoke := --max-steps 30 --arch tiny
POSES_TURNED_CLASSIFIER_quick := --max-steps 900 --schedule cosine --ema 0.99 --patience 99
POSES_TURNED_CLASSIFIER_long := --max-steps 4000 --schedule cosine --ema 0.99 --patience 99
POSES_TURNED_CLASSIFIER_paper :=
POSES_COUNT_smoke := 100
POSES_COUNT_quick := 1400
POSES_COUNT_long := 4200
POSES_COUNT_paper := 175000
# synthetic faces that are turned, each to nine poses
POSES_TURNED_smoke := 12
POSES_TURNED_quick := 175
POSES_TURNED_long := 700
POSES_TURNED_paper := 17500

# ---- where things are ------------------------------------------------------------------------------------
POSES_DIR := data/$(PRESET)/registration
POSES_RUN := runs/$(PRESET)/registration
results := runs/results/$(PRESET)/registration
licence := $(or $(LICENCE),rendered faces: CC0)
conditions := real-2d synthetic$(by_generator)-2d real-3d synthetic$(by_generator)-3d turned$(by_generator)-2d
reports = $(foreach c,$(conditions),$(foreach s,$(SEEDS),$(c)/seed$(s)/report.json))

faces-registration: $(conditions:%=$(POSES_RUN)/%/seed$(SEED)/report.json)

compare-registration: $(addprefix $(POSES_RUN)/,$(reports))
	$(PY) evaluate.py --compare $^

results-registration: compare-registration
	mkdir -p $(results)
	cd $(POSES_RUN) && cp --parents $(reports) $(CURDIR)/$(results)

# ---- every step ------------------------------------------------------------------------------------------
$(POSES_DIR)/.done: | $(READY_FACES)
	$(PY) -m lib.datasets.rendered_poses --out $(POSES_DIR) --device $(DEVICE) $(POSES_DATA_$(PRESET))
	@touch $@

mode := 2d
include make/registration_mode.mk
mode := 3d
include make/registration_mode.mk

# synthetic 3D faces as FERA 2017's poses would show them, then 2D registered
turned := $(POSES_RUN)/turned$(by_generator)-2d

$(turned)/frontal/manifest.csv: $(POSES_RUN)/generators/$(variant)-3d/seed$(GENERATOR_SEED)/generator.onnx
	$(PY) synthesize.py --model $< --source $(POSES_DIR)/3d/training/manifest.csv --recipe balanced \
	  --targets $(POSES_DIR)/3d/training/manifest.csv --seed 1 --count $(POSES_TURNED_$(PRESET)) --out $(@D) --device $(DEVICE)

$(turned)/synthetic/manifest.csv: $(turned)/frontal/manifest.csv $(POSES_DIR)/2d/training/manifest.csv
	$(PY) -m lib.faces.pose $< --behind $(POSES_DIR)/2d/training/manifest.csv --out $(@D)

$(turned)/seed%/classifier.pt: $(turned)/synthetic/manifest.csv $(POSES_DIR)/2d/validation/manifest.csv
	$(PY) train_classifier.py --train $< --validation $(POSES_DIR)/2d/validation/manifest.csv --out $@ --seed $* \
	  --device $(DEVICE) --resume $(POSES_HEAD) $(POSES_TURNED_CLASSIFIER_$(PRESET))

$(turned)/%/report.json: $(turned)/%/classifier.onnx $(POSES_DIR)/2d/test/manifest.csv
	$(PY) evaluate.py --model $< --test $(POSES_DIR)/2d/test/manifest.csv --by yaw pitch --of $(POSES_DIR)/test.csv \
	  --device $(DEVICE) > $@.tmp && mv $@.tmp $@
	$(call card_of,report.json)
	@echo 'report: $@' >&2

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@
