# The MNIST grid (SET=mnist): presets, data, options of each stage.

# ---- presets ---------------------------------------------------------------------------------------------
MNIST_SIZE_smoke := 48
MNIST_SIZE_quick := 96
MNIST_SIZE_long := 96
MNIST_SIZE_paper := 96
MNIST_DATA_smoke := --validation 200 --test-per-au 40
MNIST_DATA_quick :=
MNIST_DATA_long :=
MNIST_DATA_paper :=
# 300 steps are 10 epochs of 3,000 grids, 3,600 steps 12 epochs of 30,000
MNIST_STEPS_smoke := --max-steps 40
MNIST_STEPS_quick = --max-steps $(if $(filter 30000,$(MNIST_N)),3600,300)
MNIST_STEPS_long = --max-steps $(if $(filter 30000,$(MNIST_N)),3600,3000)
MNIST_STEPS_paper :=
MNIST_CLASSIFIER_smoke :=
# half size and shifted by pixels: noise cannot be learnt by heart
MNIST_CLASSIFIER_quick := --schedule cosine --learning-rate 2e-3 --weight-decay 0.05 --ema 0.99 --patience 99 --size 48
MNIST_CLASSIFIER_long := $(MNIST_CLASSIFIER_quick)
MNIST_CLASSIFIER_paper :=
# without noise edits are compared with the answer itself (the mean change asks black pixels to darken, without end),
# and 400 steps are enough; many more drive pixels out of range
ifeq ($(LEVEL),easy)
MNIST_TIME_quick := --epochs 1 --decay-epochs 0 --config doubles=False w_pair=40
MNIST_TIME_long := $(MNIST_TIME_quick)
MNIST_CLEAN := doubles=False w_pair=40
else
MNIST_TIME_quick := --epochs 4 --decay-epochs 2
MNIST_TIME_long := --epochs 20 --decay-epochs 10
MNIST_CLEAN :=
endif
MNIST_GENERATOR_smoke := --preset grid --epochs 2 --decay-epochs 1 --epoch-images 160 \
  --config d_warmup=10 width=24 $(MNIST_CLEAN)
MNIST_GENERATOR_quick := --preset grid --size 48 --weights 6 1 --epoch-images 6400 $(MNIST_TIME_quick)
MNIST_GENERATOR_long := --preset grid --size 48 --weights 6 1 --epoch-images 6400 $(MNIST_TIME_long)
MNIST_GENERATOR_paper := --preset paper

# ---- where things are ------------------------------------------------------------------------------------
# smoke only proves the wiring, whatever N says elsewhere
MNIST_N := $(if $(filter smoke,$(PRESET)),300,$(N))
MNIST := mnist-$(if $(NOISE),noise$(NOISE),$(LEVEL))-$(MNIST_N)$(if $(DIGITS),-whole)
MNIST_RUN := runs/$(PRESET)/$(MNIST)
MNIST_DIR := data/$(PRESET)/$(MNIST)

# generators and edits; and classifiers and their reports, which with EPOCHS=10 have a folder of their own
edits := $(MNIST_RUN)
run := $(MNIST_RUN)$(EPOCHS:%=-epochs%)
results := runs/results/$(PRESET)/$(MNIST)$(EPOCHS:%=-epochs%)
labelled := $(MNIST_DIR)/labelled.csv
labelled_rows := $(labelled)
unlabelled := $(MNIST_DIR)/unlabelled.csv
validation := $(MNIST_DIR)/validation.csv
test := $(MNIST_DIR)/test.csv
test_natural := $(MNIST_DIR)/test_natural.csv
licence := $(LICENCE)
data := $(MNIST_DIR)/.done

# ---- options of each stage -------------------------------------------------------------------------------
# the tables of compare-mnist; em-activate and pseudo were the best with and without edits at hard noise (RESULTS.md)
CONDITIONS ?= supervised upsampled pseudo reweighted em em-activate truth
BEST ?= em-activate
BASE ?= pseudo

# as many synthetic (or repeated) images as pseudo-labelled ones
COUNT_mnist := $$((3 * $(MNIST_N)))
SYNTHESIS_mnist := --recipe single-au --level 1 --sources all

count = $(COUNT_mnist)
synthesis_options = $(SYNTHESIS_mnist)
# a digit is there or not: no levels between
levels = --level 1
range_options = $(SYNTHESIS_mnist)
classifier_options = $(if $(EPOCHS),--epochs $(EPOCHS),$(MNIST_STEPS_$(PRESET))) $(MNIST_CLASSIFIER_$(PRESET)) \
  --augment grid
generator_options = $(MNIST_GENERATOR_$(PRESET)) --level 1 --no-flip

# ---- data ------------------------------------------------------------------------------------------------
grids = $(PY) -m lib.datasets.mnist_grid --out $(@D) $(if $(NOISE),--noise $(NOISE),--level $(LEVEL)) \
  --size $(MNIST_SIZE_$(PRESET)) $(if $(DIGITS),--digits $(DIGITS))
$(MNIST_DIR)/.done: | $(READY)
	$(grids) --labelled $(MNIST_N) $(MNIST_DATA_$(PRESET))
	@touch $@

# as the two tests, of validation digits: to choose by (compare-mnist-development)
development := $(MNIST_DIR)/development
development_test := $(development)/tuning.csv
development_natural := $(development)/validation.csv
# the same drawings in each set, in other grids; no tests
other_grids = $(grids) --unlabelled 1 --test-per-au 1 --test-natural 1 --seed 7 --pool-seed 0
MNIST_DEVELOPMENT_smoke := --validation 200 --tuning-per-au 40
MNIST_DEVELOPMENT_quick := --validation 3000 --tuning-per-au 1000
MNIST_DEVELOPMENT_long := $(MNIST_DEVELOPMENT_quick)
MNIST_DEVELOPMENT_paper := $(MNIST_DEVELOPMENT_quick)
$(development)/.done: | $(READY)
	$(other_grids) --labelled 1 $(MNIST_DEVELOPMENT_$(PRESET))
	@touch $@

# ---- which noise is as hard as the thesis's? ---------------------------------------------------------------
# F1 of `supervised` on one-AU grids of another seed and of validation digits: the test is not looked at
TUNE_DIR := data/$(PRESET)/$(MNIST)-tune
TUNE_RUN := runs/$(PRESET)/$(MNIST)-tune
.PHONY: tune
tune: $(TUNE_RUN)/report.json

$(TUNE_DIR)/.done: | $(READY)
	$(other_grids) --labelled $(MNIST_N) --tuning-per-au 200
	@touch $@

$(TUNE_RUN)/classifier.pt: $(TUNE_DIR)/.done
	$(PY) train_classifier.py --train $(TUNE_DIR)/labelled.csv --validation $(TUNE_DIR)/validation.csv --out $@ --seed 1 \
	  --device $(DEVICE) --resume $(classifier_options)

$(TUNE_RUN)/report.json: $(TUNE_RUN)/classifier.onnx
	$(PY) evaluate.py --model $< --test $(TUNE_DIR)/tuning.csv --device $(DEVICE) > $@.tmp && mv $@.tmp $@
