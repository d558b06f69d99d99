# The experiments, as files that depend on files: a second `make` does nothing, a killed one goes on.
#   make faces-em                      the thesis's experiment on rendered faces (PRESET=quick, SEED=1)
#   make compare-faces SEEDS="1 2 3"   conditions side by side, as tables
#   make help                          everything else
#
# This file has the names that people type. What they do stands in make/:
#   settings.mk      what may be set on the command line, and the environment (.venv)
#   conditions.mk    every condition: what a classifier learns from
#   faces.mk         rendered faces, or your own data: presets, data, judge
#   mnist.mk         the MNIST grid: presets, data
#   experiment.mk    from labels to reports, for one data set and one generator an invocation
#   affect.mk        valence/arousal and expressions
#   personal.mk      personal and normalised models
#   other.mk         a second data set
#   sources.mk       a second data set: its people edited, both sets together
#   folds.mk         cross-validation over people
#   networks.mk      VGG16 and other networks of torchvision, one model an AU
#   editors.mk       every editor of AUs and of expressions on the same people
#   from_noise.mk    the next three
#   samplers.mk      faces from noise: every sampler on the same people
#   digits.mk        samplers on MNIST digits, a control
#   open_problem.mk  a discriminator that reads AUs and valence and arousal
#   precision.mk     a classifier and an editor in fp16 and int8
#   registration.mk  2D against 3D registration: presets and the whole experiment
#   models.mk        the reader and the editor that come with the project, and what they do on photographs
#   checks.mk        what stands outside `make test`
include make/settings.mk
include make/conditions.mk

TEST_PROCESSES ?= 2
# tests that people ask for by name: what is missing here is a failure, and not skipped
ALL_OF = FACES_EM_NO_SKIPS=1 $(PY) -m pytest -q -rs

# goals one after the other; each runs its own steps side by side (make -j2), and never two goals the same step
.NOTPARALLEL:

FACES := $(addprefix faces-,$(WITHOUT_EDITS) $(WITH_EDITS) data judge generator)
MNIST := $(addprefix mnist-,$(filter-out pseudo-5x,$(WITHOUT_EDITS) $(WITH_EDITS)) data generator)
BY_GENERATOR := $(addprefix faces-,$(EDITORS))
BY_CLASS_GENERATOR := $(addprefix faces-,$(OF_CLASSES))

AFFECT := faces-va faces-va-mse faces-joint faces-joint-ccc faces-expressions faces-emotions
PERSONAL := faces-personalised faces-normalised

.PHONY: $(AFFECT) $(PERSONAL) compare-affect results-affect compare-personal results-personal \
  faces-folds results-folds faces-networks

.PHONY: help setup setup-faces setup-photos test clean tables $(FACES) $(MNIST) $(BY_GENERATOR) $(BY_CLASS_GENERATOR) \
  compare-expressions results-expressions \
  compare-faces compare-mnist compare-editors results-editors compare-registration results-faces results-mnist results-generator \
  idiosyncratic sweep-ganimation discriminators fexgan-table results-fexgan precision precision-classifier precision-editor \
  results-registration faces-registration faces-registration-check

# conditions and their tables alone know EPOCHS
KNOW_EPOCHS := $(addprefix faces-,$(WITHOUT_EDITS) $(WITH_EDITS)) $(addprefix mnist-,$(WITHOUT_EDITS) $(WITH_EDITS)) \
  $(BY_GENERATOR) compare-faces% compare-mnist% results-faces results-mnist \
  results-faces-paired results-mnist-paired compare-pseudo
ifneq ($(if $(EPOCHS),$(filter-out $(KNOW_EPOCHS),$(MAKECMDGOALS))),)
$(error EPOCHS=$(EPOCHS): $(filter-out $(KNOW_EPOCHS),$(MAKECMDGOALS)) does not depend on it)
endif

ifneq ($(if $(BASE_EPOCHS),$(filter-out %-paired,$(MAKECMDGOALS))),)
$(error BASE_EPOCHS=$(BASE_EPOCHS): $(filter-out %-paired,$(MAKECMDGOALS)) does not depend on it)
endif

help:
	@echo 'make faces-em                 rendered faces: label, pseudo-label, train an editor, synthesise, train, report'
	@echo 'make faces-CONDITION          another condition: what the classifier learns from'
	@sed -n 's/^#   /    /p' make/conditions.mk
	@echo 'make compare-faces            tables of conditions, and the paired differences of BEST=em-activate-first and BASE=upsampled-longer'
	@echo '                              (CONDITIONS="supervised em": these alone; BESIDES="em-rare em-mixed": these, too;'
	@echo '                              ARCHS="ganimation stargan": those of other editors, too); personal models: compare-personal'
	@echo 'make compare-faces-paired | compare-mnist-paired   the differences alone, of any two: BEST=em-mixed BASE=em; results-faces-paired'
	@echo '                              (EPOCHS=30 BASE_EPOCHS=45: BASE has learnt for other epochs; BASE_EPOCHS=usual: as many steps as usual)'
	@echo 'make results-faces            copies the reports behind the tables to runs/results/'
	@echo 'make compare-faces-validation | compare-mnist-validation   the same tables on the validation set, to choose settings by'
	@echo 'make compare-faces-development | compare-mnist-development   the same tables on two sets like the tests, of other people or digits'
	@echo 'make faces-GENERATOR          another generator in place of that of faces-em: $(EDITORS)'
	@echo 'make faces-CLASS_GENERATOR    an expression classifier on real faces and theirs: $(OF_CLASSES)'
	@echo 'make compare-expressions ARCHS="fexgan stargan"   real, up-sampled, and with the faces of each (SEEDS="1 2 3")'
	@echo 'make compare-editors          every editor of AUs and of expressions, on the same people (EDITOR_SEEDS="1 2"); results-editors'
	@echo 'make mnist-em …               the same on the MNIST grid (LEVEL=easy|medium|hard N=300|3000|30000 DIGITS=dir NOISE=0..1)'
	@echo 'make mnist-tune NOISE=t       F1 of supervised at a noise, on grids of its own: which t is as hard as the thesis says'
	@echo 'make idiosyncratic | sweep-ganimation | discriminators   what Niinuma et al. (2022) ask of GANimation'
	@echo 'make fexgan-table             FExGAN: the four accuracies of its discriminator, and sheets as Siddiqui (2022) shows them'
	@echo 'make compare-pseudo           what images without labels bring: all the pseudo-…, and mean-teacher (SEEDS="1 2 3")'
	@echo 'make faces-va|-expressions|-joint|-emotions   valence/arousal, expressions, all with AUs; compare-affect, results-affect'
	@echo '                              (-va-mse, -joint-ccc: with the other loss of valence and arousal)'
	@echo 'make faces-personalised|-normalised   models of one neutral image a person; compare-personal, results-personal'
	@echo '                              (ACROSS=1: of people of another data set than the labelled one, rendered or OTHER=DIR)'
	@echo 'make faces-sources            edits of another data set, and both sets together (OTHER=DIR: yours); compare-sources, results-sources'
	@echo 'make faces-domain             few labels of another data set beside many of this one; compare-domain, results-domain'
	@echo 'make faces-folds FOLDS=3|disfa|leave-one-out   cross-validation over people (STRIDE=n: every n-th image); results-folds'
	@echo 'make faces-networks NETWORKS="vgg16 resnet18" NETWORK_AUS=AU12   one torchvision network an AU (but for PRESET=paper on few images)'
	@echo 'make faces-registration       2D against 3D registration, real against synthetic faces, nine poses'
	@echo 'make faces-registration-check is a turned face nearer to its frontal picture in 3D than in 2D?'
	@echo 'make compare-samplers         faces from noise: every sampler, as a table (SAMPLER_SEEDS="1 2")'
	@echo 'make compare-sampled          do samples help a classifier of expressions? faces-gan, faces-conditional-wgan …: of one'
	@echo 'make compare-digits           the samplers on MNIST digits, a control'
	@echo 'make open-problem             discriminators that read AUs, valence and arousal, or both; open-problem-why, -grid'
	@echo 'make reader | editor          the reader and the editor of photographs, runs/models/*.onnx, made anew'
	@echo 'make photos-report PHOTOS=dir how well both do on photographs of yours (dir/photos.csv: path, expression)'
	@echo 'make page                     a page that edits photographs in the browser, in runs/page'
	@echo 'make setup [TORCH=cpu] | setup-faces | setup-photos | test | bench | clean'
	@echo '                              environment; face detection for photos and videos; tests; remove data/ and runs/ of this PRESET'
	@echo 'make test-faults | test-browser | test-cluster | test-hosts | gpu-check | precision   what stands outside make test'
	@echo 'EPOCHS=30                     as many epochs for every classifier, in place of as many steps: runs/PRESET/faces-epochs30'
	@echo 'PRESET=smoke|quick|long|paper SEED=1 SEEDS="1 2 3" GENERATOR_SEED=1 DEVICE=auto|cpu|cuda'
	@echo 'Your own data: make faces-em NAME=disfa LABELLED=l.csv UNLABELLED=u.csv VALIDATION=v.csv TEST=t.csv'
	@echo '  (ALLOW_SHARED_SUBJECTS=1 if people are meant to be in several of them; COUNT_faces=N synthetic images [rows of UNLABELLED])'

setup: $(READY)
setup-faces: $(READY_FACES)
setup-photos: $(READY_PHOTOS)

test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(TEST_PROCESSES) --dist loadfile tests

.PHONY: test-browser
test-browser: $(READY)  # pages of pictures in headless Chromium (apt-get install chromium)
	$(ALL_OF) tests/browser

clean:
	rm -rf data/$(PRESET) runs/$(PRESET)

tables:  # the tables of RESULTS.md, from the committed reports
	$(PY) evaluate.py --compare $$(find runs/results -name 'report*.json' ! -path '*/judge/*' | sort)

# ---- one data set ----------------------------------------------------------------------------------------
# who comes second waits: two makes of one data set would take away each other's temporary files
ALONE = $(if $(findstring n,$(DRY))$(findstring q,$(DRY)),,$(PY) -m lib.lock $(or $(2),runs/$(PRESET))/.locks/$(1))
DRY = $(filter-out --%,$(firstword -$(MAKEFLAGS)))
ALONE_FACES = $(call ALONE,$(or $(NAME),$(if $(LABELLED),mine,faces)))
ALONE_MNIST = $(call ALONE,mnist)

$(FACES): faces-%: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) $*

.PHONY: mnist-tune
$(MNIST) mnist-tune: mnist-%: | $(READY)
	$(ALONE_MNIST) $(MAKE) -f make/experiment.mk SET=mnist ARCH=$(MNIST_EDITOR) $*

# faces-ganimation: the condition ganimation-g1, and a report on the edits
$(BY_GENERATOR): faces-%: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$* synthetic

# faces-fexgan, faces-stargan-expressions: the same for generators of expressions, and a classifier of expressions
$(BY_CLASS_GENERATOR): faces-%: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/expressions.mk ARCH=$(*:%-expressions=%) synthetic

KNOWN = $(if $(filter-out $1,$(ARCHS)),$(error ARCHS=$(ARCHS): $@ knows $1))
compare-expressions results-expressions: %-expressions: | $(READY)
	$(call KNOWN,$(OF_CLASSES) $(OF_CLASSES:%-expressions=%))
	$(ALONE_FACES) $(MAKE) -f make/expressions.mk \
	  ARCH=$(or $(ARCH),$(firstword $(ARCHS:%-expressions=%)),fexgan) $*

compare-faces results-faces: %-faces: | $(READY)
	$(call KNOWN,$(EDITORS))
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) $*

$(AFFECT): faces-%: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/affect.mk $*

.PHONY: compare-pseudo
compare-pseudo: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) $@

compare-affect results-affect: %-affect: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/affect.mk $*

$(PERSONAL): faces-%: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/personal.mk $*

compare-personal results-personal: %-personal: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/personal.mk $*

SOURCES := faces-sources compare-sources results-sources faces-domain compare-domain results-domain
.PHONY: $(SOURCES)
$(SOURCES): | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/sources.mk $(@:faces-%=%)

faces-folds results-folds: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/folds.mk $(@:faces-%=%)

faces-networks: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/networks.mk networks

# the paired differences of two conditions
.PHONY: compare-faces-paired compare-mnist-paired results-faces-paired results-mnist-paired
compare-faces-paired results-faces-paired: %-faces-paired: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) $(*:compare=)$(if $(*:compare=),-)paired

compare-mnist-paired results-mnist-paired: %-mnist-paired: | $(READY)
	$(ALONE_MNIST) $(MAKE) -f make/experiment.mk SET=mnist ARCH=$(MNIST_EDITOR) $(*:compare=)$(if $(*:compare=),-)paired

# the same tables on the validation set, to choose settings by
.PHONY: compare-faces-validation compare-mnist-validation compare-faces-development compare-mnist-development
compare-faces-validation: | $(READY)
	$(call KNOWN,$(EDITORS))
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) REPORTS=report_validation.json compare

# and on two sets that are made like the tests, of other people, or of validation digits
compare-faces-development: | $(READY)
	$(call KNOWN,$(EDITORS))
	$(if $(LABELLED),$(error your own data have no development sets; choose by make compare-faces-validation))
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) \
	  REPORTS="report_development.json report_development_natural.json" compare

compare-mnist-development: | $(READY)
	$(ALONE_MNIST) $(MAKE) -f make/experiment.mk SET=mnist ARCH=$(MNIST_EDITOR) \
	  REPORTS="report_development.json report_development_natural.json" compare

compare-mnist-validation: | $(READY)
	$(ALONE_MNIST) $(MAKE) -f make/experiment.mk SET=mnist ARCH=$(MNIST_EDITOR) REPORTS=report_validation.json compare

compare-mnist results-mnist: %-mnist: | $(READY)
	$(ALONE_MNIST) $(MAKE) -f make/experiment.mk SET=mnist ARCH=$(MNIST_EDITOR) $*

results-generator: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/experiment.mk SET=faces ARCH=$(EDITOR) results-generator

compare-editors results-editors idiosyncratic sweep-ganimation discriminators fexgan-table results-fexgan: | $(READY)
	$(ALONE_FACES) $(MAKE) -f make/editors.mk $@

precision precision-classifier precision-editor: | $(READY)  # fp16 and int8: size, speed, drop on a test manifest
	$(ALONE_FACES) $(MAKE) -f make/precision.mk $@

# ---- registration ----------------------------------------------------------------------------------------
faces-registration compare-registration results-registration: | $(READY)
	$(call ALONE,registration) $(MAKE) -f make/registration.mk ARCH=$(EDITOR) $@

faces-registration-check: | $(READY_FACES)  # is a turned face nearer to its frontal picture in 3D than in 2D?
	$(PY) -m lib.faces.measure --people 50

# ---- faces and digits from noise, and what a discriminator reads -----------------------------------------
FROM_NOISE := compare-samplers results-samplers compare-sampled results-sampled sampler-data $(SAMPLERS:%=faces-%)
DIGITS_FROM_NOISE := compare-digits results-digits
OPEN := open-problem open-problem-why open-problem-grid results-open-problem
.PHONY: $(FROM_NOISE) $(DIGITS_FROM_NOISE) $(OPEN)
$(FROM_NOISE): | $(READY)
	$(call ALONE,samplers) $(MAKE) -f make/from_noise.mk $@

$(DIGITS_FROM_NOISE): | $(READY)
	$(call ALONE,digits) $(MAKE) -f make/from_noise.mk $@

$(OPEN): | $(READY)
	$(call ALONE,richer) $(MAKE) -f make/from_noise.mk $@

# ---- the models that come with the project, photographs, the page with sliders -----------------------------
MODELS := reader editor judges photos-report page astronaut reader-groups
.PHONY: $(MODELS)
$(MODELS): | $(READY_FACES)
	$(call ALONE,models,runs) $(MAKE) -f make/models.mk $@

include make/checks.mk
