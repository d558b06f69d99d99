# Rendered faces (SET=faces), or your own data (LABELLED=…): presets, data, options of each stage.

# ---- presets: how much data, how long each training ------------------------------------------------------
FACES_SIZE_smoke := 32
FACES_SIZE_quick := 64
FACES_SIZE_long := 64
FACES_SIZE_paper := 128
FACES_DATA_smoke := --labelled 300 --unlabelled 300 --validation 90 --test 210 --test-natural 120 --pairs 60 \
  --pairs-validation 40 --judge 600 --judge-validation 100
FACES_DATA_quick :=
FACES_DATA_long := $(FACES_DATA_quick)
FACES_DATA_paper := --labelled 30000 --unlabelled 60000 --validation 3000 --judge 40000
FACES_STEPS_smoke := --max-steps 40
FACES_STEPS_quick := --max-steps 900
FACES_STEPS_long := --max-steps 3000
FACES_STEPS_paper :=
FACES_CLASSIFIER_smoke :=
FACES_CLASSIFIER_quick := --schedule cosine --ema 0.99 --patience 99
FACES_CLASSIFIER_long := --schedule cosine --ema 0.99 --patience 99
FACES_CLASSIFIER_paper :=
# of valence and arousal (make/affect.mk): of a model of them alone, and of one of all tasks
VA_LOSS := ccc
JOINT_VA_LOSS := mse
# bce reads AUs better than the thesis's mse: 68.8 against 63.3 F1 on natural faces (RESULTS.md); `paper` is as printed
au_loss := $(if $(filter paper,$(PRESET)),,--losses au=bce)
FACES_JUDGE_smoke := --max-steps 40
FACES_JUDGE_quick := --max-steps 1400 --schedule cosine --learning-rate 3e-3 --ema 0.99 --weight-decay 0.02 --patience 99
FACES_JUDGE_long := $(FACES_JUDGE_quick)
FACES_JUDGE_paper := --max-steps 20000 --schedule cosine --learning-rate 3e-3 --ema 0.999 --weight-decay 0.02 --patience 99
# the generator of faces-em
FACES_GENERATOR_smoke := --epochs 2 --decay-epochs 1 --epoch-images 160 --config d_warmup=10 width=24
FACES_GENERATOR_quick := --epochs 10 --decay-epochs 5 --epoch-images 6400
FACES_GENERATOR_long := --epochs 24 --decay-epochs 10 --epoch-images 6400 --config width=64 joined=192 fine=24
FACES_GENERATOR_paper := --preset paper
# the others: their own presets, `paper` and `quick`
FACES_OTHER_smoke := --epochs 2 --decay-epochs 1 --epoch-images 160
FACES_OTHER_quick := --epoch-images 6400
FACES_OTHER_long := --epochs 24 --decay-epochs 10 --epoch-images 6400
FACES_OTHER_paper := --preset paper
FACES_COUNT_smoke := 300
FACES_COUNT_quick := 3000
FACES_COUNT_long := 3000
FACES_COUNT_paper := 60000

# ---- where things are ------------------------------------------------------------------------------------
own := $(if $(LABELLED),yes)
FACES := $(or $(NAME),$(if $(own),mine,faces))
FACES_RUN := runs/$(PRESET)/$(FACES)
FACES_DIR := data/$(PRESET)/$(FACES)

# generators, edits, the judge; and classifiers and their reports, which with EPOCHS=30 have a folder of their own
edits := $(FACES_RUN)
run := $(FACES_RUN)$(EPOCHS:%=-epochs%)
results := runs/results/$(PRESET)/$(FACES)$(EPOCHS:%=-epochs%)
labelled := $(or $(LABELLED),$(FACES_DIR)/labelled.csv)
unlabelled := $(or $(UNLABELLED),$(FACES_DIR)/unlabelled.csv)
validation := $(or $(VALIDATION),$(FACES_DIR)/validation.csv)
test := $(or $(TEST),$(FACES_DIR)/test.csv)
test_natural := $(or $(TEST_NATURAL),$(if $(own),,$(FACES_DIR)/test_natural.csv))
licence := $(or $(LICENCE),$(if $(own),,rendered faces: CC0))
data := $(if $(own),$(FACES_RUN)/.checked,$(FACES_DIR)/.done)

# ---- options of each stage -------------------------------------------------------------------------------
# are there levels to balance? Asked where tables of your own data list what they list by default. No answer, as of
# make -n before there is an environment, leaves balanced-real and balanced in
ifneq ($(and $(own),$(filter compare results,$(MAKECMDGOALS)),$(filter undefined,$(origin CONDITIONS))),)
no_levels := $(filter 0,$(shell $(PY) -m lib.manifest levels $(labelled) 2> /dev/null))
$(if $(no_levels),$(warning $(FACES): LABELLED has occurrences of AUs and no levels; the tables leave out balanced-real \
  and balanced))
endif

# the tables of compare-faces. pseudo-5x has the images of five times as many people, and is else as pseudo-upsampled.
# em-activate-first is the use of edits that was chosen, and upsampled-longer learns as long without them. Personal models
# stand in tables of their own below the others: their test leaves out neutral frames
CONDITIONS ?= supervised upsampled upsampled-longer pseudo pseudo-upsampled $(if $(own),,pseudo-5x) reweighted em \
  em-activate-first $(if $(no_levels),,balanced-real balanced) $(if $(own),,personalised truth)
BEST ?= em-activate-first
BASE ?= upsampled-longer

# as many synthetic (or repeated) images as pseudo-labelled ones
COUNT_faces = $(if $(own),$$($(PY) -m lib.manifest count $(UNLABELLED)),$(FACES_COUNT_$(PRESET)))
SYNTHESIS_faces := --recipe single-au --level 0.7 --sources neutral
shared := $(if $(ALLOW_SHARED_SUBJECTS),--allow-shared-subjects)
own_options := $(if $(own),--size $(FACES_SIZE_$(PRESET)) $(shared))

count = $(COUNT_faces)
synthesis_options = $(SYNTHESIS_faces)
levels = --level-range 0.3 1
# of the same sources
range_options = --recipe single-au $(levels) $(if $(filter all,$(SYNTHESIS_faces)),--sources all)
classifier_options = $(if $(EPOCHS),--epochs $(EPOCHS),$(FACES_STEPS_$(PRESET))) $(FACES_CLASSIFIER_$(PRESET)) \
  --augment faces $(own_options)
ifeq ($(ARCH),$(EDITOR))
generator_options = $(FACES_GENERATOR_$(PRESET)) $(own_options)
else
generator_options = $(FACES_OTHER_$(PRESET)) $(own_options)
endif

# ---- data ------------------------------------------------------------------------------------------------
$(FACES_DIR)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(FACES_DIR) --size $(FACES_SIZE_$(PRESET)) --device $(DEVICE) \
	  $(FACES_DATA_$(PRESET))
	@touch $@

ifeq ($(own),)
no_other_sets := --labelled 0 --validation 0 --pairs 0 --pairs-validation 0 --judge 0 --judge-validation 0
$(FACES_DIR)/5x/unlabelled.csv: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --size $(FACES_SIZE_$(PRESET)) --device $(DEVICE) \
	  $(no_other_sets) --test 0 --test-natural 0 --unlabelled $$((5 * $(FACES_COUNT_$(PRESET))))

# as the two tests, of other people: to choose by (compare-faces-development)
development := $(FACES_DIR)/development
development_test := $(development)/test.csv
development_natural := $(development)/test_natural.csv
FACES_DEVELOPMENT_smoke := --test 210 --test-natural 120
FACES_DEVELOPMENT_quick :=
FACES_DEVELOPMENT_long :=
FACES_DEVELOPMENT_paper :=
$(development)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --size $(FACES_SIZE_$(PRESET)) --device $(DEVICE) --seed 101 \
	  $(no_other_sets) --unlabelled 0 $(FACES_DEVELOPMENT_$(PRESET))
	@touch $@
endif

# your own data: nobody whose images are learnt from is in the validation or test set
$(FACES_RUN)/.checked: $(LABELLED) $(UNLABELLED) $(VALIDATION) $(TEST) $(TEST_NATURAL) | $(READY)
	$(if $(TEST),$(PY) -m lib.manifest check $(LABELLED) $(UNLABELLED) --apart $(VALIDATION) $(TEST) $(shared))
	$(if $(TEST_NATURAL),$(PY) -m lib.manifest check $(LABELLED) $(UNLABELLED) $(VALIDATION) \
	  --apart $(TEST_NATURAL) $(shared))
	@mkdir -p $(@D) && touch $@

# several files of your own as one: rows to draw from, and to take as targets of edits
merged := $(if $(word 2,$(labelled)),$(edits)/labelled.csv)
labelled_rows := $(or $(merged),$(labelled))
ifneq ($(merged),)
$(merged): $(data)
	$(PY) -m lib.manifest merge $(labelled) --out $@
endif

ifneq ($(own),)
$(warning $(FACES): your own data have no judge and no true images of edits; those checks are skipped)
else
# ---- the judge and the true images of edits: rendered faces only -----------------------------------------
judge := $(edits)/judge/seed1000

$(judge)/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --arch judge --train $(FACES_DIR)/judge.csv --validation $(FACES_DIR)/judge_validation.csv \
	  --out $@ --seed 1000 --augment faces --device $(DEVICE) --resume $(FACES_JUDGE_$(PRESET))

judged = --judge $(judge)/classifier.onnx --judge-report $(judge)/report.json --device $(DEVICE) > $@.tmp && mv $@.tmp $@
$(edits)/generators/%/report.json: $(edits)/generators/%/generator.onnx $(judge)/classifier.onnx $(judge)/report.json
	$(PY) evaluate.py --model $< --pairs $(FACES_DIR)/pairs.csv --report $(@D)/plots $(judged)
	$(call card_of,report.json,$(subst $(variant)-strong/,$(variant)/,$(<:.onnx=.pt)))

# the same editor, asked for more of what it does less of (lib/strength.py): by pairs of other people than the report's.
# The warp editor needs no more than 1.5 times; of others 2.5 times was chosen on these pairs (RESULTS.md)
MOST ?= $(if $(filter warp-editor,$(ARCH)),1.5,2.5)
$(edits)/generators/%/report_validation.json: $(edits)/generators/%/generator.onnx $(judge)/classifier.onnx \
  $(judge)/report.json
	$(PY) evaluate.py --model $< --pairs $(FACES_DIR)/pairs_validation.csv $(judged)

$(edits)/generators/$(variant)-strong/seed%/generator.onnx: $(edits)/generators/$(variant)/seed%/generator.onnx \
  $(edits)/generators/$(variant)/seed%/report_validation.json
	$(PY) -m lib.strength $< --report $(word 2,$^) --most $(MOST) --out $@

strong := $(variant)-strong/seed$(GENERATOR_SEED)
results-generator: $(generator)/report.json $(edits)/generators/$(strong)/report.json  # reports and sheets, to commit
	@mkdir -p $(results)/generators/$(variant)/seed$(GENERATOR_SEED) $(results)/generators/$(strong)
	cp $< $(<D)/plots/sheet.png $(results)/generators/$(variant)/seed$(GENERATOR_SEED)
	cp $(addprefix $(edits)/generators/$(strong)/,report.json plots/sheet.png) $(results)/generators/$(strong)

judge: $(judge)/report.json
endif
