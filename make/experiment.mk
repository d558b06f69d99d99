# The thesis's experiment on one data set, with one generator. The Makefile calls it:
#   make -f make/experiment.mk SET=faces|mnist ARCH=warp-editor GOAL
# GOAL is a condition, or data, judge, generator, synthetic, compare, results or results-generator.
include make/settings.mk
include make/conditions.mk

.PHONY: data judge generator synthetic of-seeds compare compare-pseudo paired results-paired results \
  results-generator
data:  # the goal where none is named

ARCH ?= $(EDITOR)
# em is the thesis's name for what the editor of faces-em makes, trained from seed 1; another generator, or another
# seed of it, gives its name to the folder of a condition: ganimation-g1, warp-editor-g2-first. Goals go on saying em:
# em-first GENERATOR_SEED=2 makes warp-editor-g2-first
em := $(or $(named_generator),em)
generator = $(edits)/generators/$(variant)/seed$(GENERATOR_SEED)

include make/$(SET).mk

# as Niinuma et al. print it: synthetic images alone, six levels of every AU equally often
balanced := $(if $(filter em,$(em)),balanced,balanced-$(em))
# the folder of the condition $(name)
of_editor = $(patsubst upsampled-em%,upsampled-$(em)%,$(patsubst em%,$(em)%,$(patsubst balanced,$(balanced),$(name))))
# those that a checker reads name it, but for the usual one: em-checked-by-judge
by_checker := $(if $(CHECKER),-by-$(basename $(notdir $(CHECKER))))
checked := $(em)-checked$(by_checker)
relabelled := $(em)-relabelled$(by_checker)
confident := $(em)-confident$(by_checker)
ifneq ($(if $(judge),,$(filter judge,$(CHECKER))),)
$(error CHECKER=judge: only rendered faces have a judge; name a classifier, FILE.onnx)
endif
folder = $(of_editor:$(em)-ratio=$(em)-ratio-$(RATIO))$(if $(filter em-checked em-relabelled em-confident,$(name)),$(by_checker))

# truth: as pseudo, with the true labels of the unlabelled images, which only sets made here have
# CONDITIONS="supervised em": these alone in the tables;  BESIDES="em-mixed em-rare": these in the tables as well
# ARCHS="ganimation stargan": the conditions of other editors, each by a make of its own
other_editors := $(filter-out $(ARCH),$(ARCHS))
of_others := $(other_editors:%=%-g$(GENERATOR_SEED))
named := $(filter-out personalised,$(CONDITIONS) $(filter-out $(CONDITIONS),$(BESIDES)))
compared := $(foreach name,$(named),$(folder))
# personalised: tables of their own, as their test leaves out each person's neutral frame; one seed, one editor
personal = $(and $(filter personalised,$(CONDITIONS) $(BESIDES)),$(filter faces-em,$(SET)-$(em)),$(filter report.json,$(REPORTS)))
# BEST="em-activate-first" BASE="upsampled-longer": the two whose paired differences stand below the tables
best := $(foreach name,$(BEST),$(folder))
base := $(foreach name,$(BASE),$(folder))
# BASE_EPOCHS=45: that of BASE has learnt for other epochs than EPOCHS; BASE_EPOCHS=usual: for as many steps as usual
base_epochs := $(filter-out usual,$(BASE_EPOCHS))
base_run := $(if $(BASE_EPOCHS),$(edits)$(base_epochs:%=-epochs%),$(run))
conditions := $(filter-out $(if $(own),truth pseudo-5x) $(if $(FACES_DIR),,pseudo-5x),$(WITHOUT_EDITS) $(WITH_EDITS))
# what is measured: both tests. REPORTS=report_validation.json (compare-faces-validation): the validation set
REPORTS ?= report.json $(if $(test_natural),report_natural.json)
.PHONY: $(conditions)

data: $(data)
synthetic: em
ifneq ($(if $(EPOCHS),,$(judge)),)
generator em: $(generator)/report.json
else
generator em: $(generator)/generator.onnx
endif

# ---- models ----------------------------------------------------------------------------------------------
# named here, as make uses no pattern rule twice in one chain of steps: labels come from classifiers, too
readers := $(foreach s,$(sort $(SEED) $(SEEDS)),supervised/seed$s upsampled/seed$s pseudo-upsampled/seed$s)
$(readers:%=$(run)/%/classifier.onnx):
# how each condition learns; from what stands before it
seed = $(patsubst seed%,%,$(notdir $(@D)))
learn = --validation $(validation) --out $@ --seed $(seed) --device $(DEVICE) --resume $(classifier_options) $(au_loss)

$(run)/supervised/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) $(learn)

$(run)/upsampled/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) $(learn)

$(run)/truth/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) $(unlabelled:.csv=_truth.csv) $(learn)

$(run)/pseudo/seed%/pseudo.csv: $(run)/supervised/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --out $@ --device $(DEVICE)

$(run)/pseudo/seed%/classifier.pt: $(run)/pseudo/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# of any generator's table, the counterpart of em
$(run)/reweighted/seed%/reweighted.csv: $(run)/pseudo/seed%/pseudo.csv $(edits)/em/synthetic/manifest.csv
	$(PY) -m lib.balance $< --like $(edits)/em/synthetic/manifest.csv --out $@

$(run)/reweighted/seed%/classifier.pt: $(run)/reweighted/seed%/reweighted.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(edits)/generators/$(variant)/seed%/generator.pt: $(run)/pseudo/seed1/pseudo.csv \
  $(run)/supervised/seed1/classifier.onnx
	$(PY) train_generator.py --arch $(ARCH) --train $(labelled) $< --validation $(validation) --out $@ \
	  --reader $(run)/supervised/seed1/classifier.onnx --seed $* --device $(DEVICE) --resume $(generator_options) \
	  $(if $(CONFIG),--config $(CONFIG))

$(run)/$(em)/seed%/classifier.pt: $(edits)/$(em)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# ---- Table 1 of the thesis, as printed ---------------------------------------------------------------------
# mse, early stopping; no dropout, augmentation, schedule or averaged weights. All learn for as many epochs, so that
# more images are more steps; elsewhere all make as many steps
as_printed = --validation $(validation) --out $@ --seed $(seed) --device $(DEVICE) --resume --dropout 0 --augment none \
  $(own_options) \
  $(if $(filter smoke,$(PRESET)),--max-steps 40)
$(run)/printed/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) $(as_printed)

$(run)/upsampled-printed/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) $(as_printed)

$(run)/$(em)-printed/seed%/classifier.pt: $(edits)/$(em)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(as_printed)

$(run)/$(em)-activate-printed/seed%/classifier.pt: $(edits)/$(em)-activate/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(as_printed)

# ---- other ways to use edits -----------------------------------------------------------------------------
# rare AUs more often, and edits of one AU: on faces at any level in place of the thesis's 0.7
$(run)/upsampled-$(em)/seed%/classifier.pt: $(edits)/$(em)-range/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< --upsample $(count) $(learn)

# edits first, then labelled images alone, at a smaller rate; and as many steps without edits
$(run)/$(em)-first/seed%/classifier.pt: $(run)/upsampled-$(em)/seed%/classifier.pt
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) --init $< $(learn) $(second)

$(run)/$(em)-activate-first/seed%/classifier.pt: $(run)/upsampled-$(em)-activate/seed%/classifier.pt
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) --init $< $(learn) $(second)

$(run)/$(em)-activate-then-labelled/seed%/classifier.pt: $(run)/$(em)-activate/seed%/classifier.pt
	$(PY) train_classifier.py --train $(labelled) --init $< $(learn) $(second)

$(run)/upsampled-longer/seed%/classifier.pt: $(run)/upsampled/seed%/classifier.pt
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) --init $< $(learn) $(second)

# rare AUs more often, and labelled faces with one AU more: what is shown beside it stays natural
$(run)/upsampled-$(em)-activate/seed%/classifier.pt: $(edits)/$(em)-activate/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< --upsample $(count) $(learn)

# the same as upsampled-em, and edits towards true rows of which every level of every AU comes equally often
$(run)/upsampled-$(em)-mixed/seed%/classifier.pt: $(edits)/$(em)-range/synthetic/manifest.csv \
  $(edits)/$(em)-reweight/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $^ --upsample $(count) $(learn)

# only edits that a second classifier confirms. It is not the one that taught the generator, but not independent of it:
# it has learnt from the same labelled images, from another seed. CHECKER=FILE.onnx: another. CHECKER=judge: the judge,
# which is independent, but has seen labels that nothing else here may see: a bound, as truth is
checker := $(or $(CHECKER:judge=$(judge)/classifier.onnx),$(edits)/supervised/seed2/classifier.onnx)
$(run)/$(checked)/seed%/classifier.pt: $(edits)/$(checked)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# the labels are what this classifier reads in the edits
$(run)/$(relabelled)/seed%/classifier.pt: $(edits)/$(relabelled)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# and the surer it is, the more an edit counts
$(run)/$(confident)/seed%/classifier.pt: $(run)/$(confident)/weighted.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(run)/$(confident)/weighted.csv: $(edits)/$(relabelled)/synthetic/manifest.csv
	$(PY) -m lib.balance $< --by confidence --out $@

# as many edits as em has, all of the rarest AUs
$(run)/$(em)-rare/seed%/classifier.pt: $(edits)/$(em)-rare/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# edits of any weight: em-ratio-0.3/seed1; em itself is em-ratio-1
$(run)/$(em)-ratio-%/classifier.pt: $(edits)/$(em)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< --weights $(labelled:%=1) $(*D) $(learn)

# AUs together, as they stand in labelled rows, as well as alone
$(run)/$(em)-mixed/seed%/classifier.pt: $(edits)/$(em)/synthetic/manifest.csv \
  $(edits)/$(em)-mixed/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $^ --weights $(labelled:%=1) 0.5 0.5 $(learn)

# one AU of a face switched off; one switched on; the AUs of an emotion together
$(run)/$(em)-deactivate/seed%/classifier.pt: $(edits)/$(em)-deactivate/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(run)/$(em)-activate/seed%/classifier.pt: $(edits)/$(em)-activate/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# pseudo, and the same images without labels, in which an edit shows one AU more
$(run)/$(em)-activate-pseudo/seed%/classifier.pt: $(run)/pseudo/seed%/pseudo.csv \
  $(edits)/$(em)-activate-pseudo/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $^ $(learn)

$(run)/$(em)-emotions/seed%/classifier.pt: $(edits)/$(em)-emotions/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# ---- other ways to use images without labels ---------------------------------------------------------------
# pseudo keeps the readings as they are (soft); here they are made 0 or 1, or only the surest of each AU are kept, or
# all that are sure enough
PER_CLASS = $$(($(count) / 20))
$(run)/pseudo-hard/seed%/pseudo.csv: $(run)/supervised/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --threshold stored --out $@ --device $(DEVICE)

$(run)/pseudo-balanced/seed%/pseudo.csv: $(run)/supervised/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --per-class $(PER_CLASS) --out $@ --device $(DEVICE)

$(run)/pseudo-masked/seed%/pseudo.csv: $(run)/supervised/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --mask-confidence $(MASK) --out $@ --device $(DEVICE)

$(run)/pseudo-hard/seed%/classifier.pt: $(run)/pseudo-hard/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(run)/pseudo-balanced/seed%/classifier.pt: $(run)/pseudo-balanced/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(run)/pseudo-masked/seed%/classifier.pt: $(run)/pseudo-masked/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

# the readings of a classifier that saw rare AUs more often, and labelled images so, too
$(run)/pseudo-upsampled/seed%/pseudo.csv: $(run)/upsampled/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --out $@ --device $(DEVICE)

$(run)/pseudo-upsampled/seed%/classifier.pt: $(run)/pseudo-upsampled/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< --upsample $(count) $(learn)

# and then labelled images alone, at a smaller rate
$(run)/pseudo-first/seed%/classifier.pt: $(run)/pseudo-upsampled/seed%/classifier.pt
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) --init $< $(learn) $(second)

# a second round: the readings of that classifier
$(run)/pseudo-round2/seed%/pseudo.csv: $(run)/pseudo-upsampled/seed%/classifier.onnx
	$(PY) pseudo_label.py --model $< --images $(unlabelled) --out $@ --device $(DEVICE)

$(run)/pseudo-round2/seed%/classifier.pt: $(run)/pseudo-round2/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< --upsample $(count) $(learn)

# the average of the classifier's own weights labels the images while it learns
$(run)/mean-teacher/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --unlabelled $(unlabelled) --upsample $(count) \
	  $(if $(filter --ema,$(classifier_options)),,--ema 0.99) $(learn)

# five times as many images without labels, of five times as many people: the 5x of pseudo-upsampled, not of pseudo, as
# upsampled reads them and rare AUs come more often
$(run)/pseudo-5x/seed%/pseudo.csv: $(run)/upsampled/seed%/classifier.onnx $(FACES_DIR)/5x/unlabelled.csv
	$(PY) pseudo_label.py --model $< --images $(FACES_DIR)/5x/unlabelled.csv --out $@ --device $(DEVICE)

$(run)/pseudo-5x/seed%/classifier.pt: $(run)/pseudo-5x/seed%/pseudo.csv
	$(PY) train_classifier.py --train $(labelled) $< --upsample $(count) $(learn)

# ---- balanced levels ------------------------------------------------------------------------------------
$(run)/$(balanced)/seed%/classifier.pt: $(edits)/$(balanced)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $< $(learn)

$(run)/balanced-real/seed%/classifier.pt: $(run)/balanced-real/balanced.csv
	$(PY) train_classifier.py --train $< $(learn)

$(run)/balanced-real/balanced.csv: $(data) $(merged) | $(READY)
	$(PY) -m lib.balance $(labelled_rows) --levels --count $(count) --out $@

# ---- synthetic images ------------------------------------------------------------------------------------
ifneq ($(EPOCHS),)
# they do not depend on EPOCHS: by a make of its own, as is the generator
$(generator)/generator.onnx $(checker): | $(data)
	$(MAKE) -f make/experiment.mk SET=$(SET) ARCH=$(ARCH) EPOCHS= $@

$(edits)/%/synthetic/manifest.csv: $(generator)/generator.onnx
	$(MAKE) -f make/experiment.mk SET=$(SET) ARCH=$(ARCH) EPOCHS= $@

$(edits)/$(checked)/synthetic/manifest.csv $(edits)/$(relabelled)/synthetic/manifest.csv: $(checker)
else
synthesize = $(PY) synthesize.py --model $(generator)/generator.onnx \
  --source $(labelled) --count $(count) --out $(@D) --device $(DEVICE)
# where any face is edited: what supervised reads in cells that your own data leave empty
any_face = --sources all $(if $(own),--classifier $(edits)/supervised/seed1/classifier.onnx)

$(edits)/$(em)/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --sheet $(@D)/sheet.png $(synthesis_options)

$(edits)/$(em)-range/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) $(range_options)

$(edits)/$(em)-reweight/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --recipe reweight $(any_face) --seed 5

$(edits)/$(checked)/synthetic/manifest.csv: $(generator)/generator.onnx $(checker)
	$(synthesize) --check $(checker) $(synthesis_options)

$(edits)/$(relabelled)/synthetic/manifest.csv: $(generator)/generator.onnx $(checker)
	$(synthesize) --check $(checker) --relabel $(synthesis_options)

$(edits)/$(em)-rare/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --aus $(RARE) $(synthesis_options)

$(edits)/$(balanced)/synthetic/manifest.csv: $(generator)/generator.onnx $(merged)
	$(synthesize) --recipe balanced --targets $(labelled_rows) $(any_face)

$(edits)/$(em)-mixed/synthetic/manifest.csv: $(generator)/generator.onnx $(merged)
	$(synthesize) --recipe random --targets $(labelled_rows) $(any_face)

$(edits)/$(em)-activate/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --recipe activate $(levels) $(any_face)

$(edits)/$(em)-activate-pseudo/synthetic/manifest.csv: $(edits)/pseudo/seed1/pseudo.csv $(generator)/generator.onnx
	$(PY) synthesize.py --model $(generator)/generator.onnx --source $< --recipe activate $(levels) --sources all \
	  --count $(count) --out $(@D) --device $(DEVICE)

# the thesis's other two synthetic sets
$(edits)/$(em)-deactivate/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --recipe deactivate $(any_face)

$(edits)/$(em)-emotions/synthetic/manifest.csv: $(generator)/generator.onnx
	$(synthesize) --recipe emotions
endif

# em of faces-em, for reweighted: by a make of its own, once the steps that both share are done
ifneq ($(em),em)
$(edits)/em/synthetic/manifest.csv: | $(if $(EPOCHS),$(generator)/generator.onnx,$(run)/pseudo/seed1/pseudo.csv)
	$(MAKE) -f make/experiment.mk SET=$(SET) ARCH=$(usual) GENERATOR_SEED=1 VARIANT= CONFIG= EPOCHS= $@
endif

# ---- exports and reports ---------------------------------------------------------------------------------
%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@

# On the validation set settings are chosen, so that the tests are looked at once. A model's thresholds are chosen on
# the same images: F1 and FDR there flatter all conditions, and only their differences mean something
$(run)/%/report_validation.json: $(run)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(validation) --predictions $(@D)/predictions_validation.csv \
	  --device $(DEVICE) > $@.tmp && mv $@.tmp $@

# of sets made here there are also two like the tests, of other people (or digits), in which no threshold was chosen
ifneq ($(development),)
develop = $(PY) evaluate.py --model $< --device $(DEVICE)
$(run)/%/report_development.json: $(run)/%/classifier.onnx $(development)/.done
	$(develop) --test $(development_test) --predictions $(@D)/predictions_development.csv > $@.tmp && mv $@.tmp $@

$(run)/%/report_development_natural.json: $(run)/%/classifier.onnx $(development)/.done
	$(develop) --test $(development_natural) --predictions $(@D)/predictions_development_natural.csv > $@.tmp \
	  && mv $@.tmp $@
endif

card = $(call card_of,report.json report_natural.json)
# a page of pictures for the seed of SEED; the others of SEEDS are for tables
plots = $(if $(filter seed$(SEED),$(notdir $(@D))),--report $(@D)/plots)
$(run)/%/report.json: $(run)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test) --predictions $(@D)/predictions.csv $(plots) --device $(DEVICE) \
	  > $@.tmp && mv $@.tmp $@
	$(card)
	@echo 'report: $@' >&2

$(run)/%/report_natural.json: $(run)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test_natural) --predictions $(@D)/predictions_natural.csv \
	  --device $(DEVICE) > $@.tmp && mv $@.tmp $@
	$(card)

# condition/seed1/report.json …, below $(run)
of_seeds = $(foreach c,$1,$(foreach s,$(SEEDS),$(addprefix $c/seed$s/,$(REPORTS))))
made_here := $(addprefix $(run)/,$(call of_seeds,$(compared)))
listed := $(compared) $(of_others)
tables := $(call of_seeds,$(listed))

compare: $(made_here) $(other_editors:%=condition-of-%)
	$(PY) evaluate.py --compare $(addprefix $(run)/,$(tables))
	$(if $(and $(filter $(best),$(listed)),$(filter $(base),$(listed))),$(paired))
	$(if $(personal),echo && $(MAKE) -f make/personal.mk SEED=$(firstword $(SEEDS)) beside)

# a table for each test: first - second, both the mean of SEEDS, on the same images
paired = for file in $(REPORTS:report%.json=predictions%.csv); do echo; \
	  $(PY) evaluate.py --compare $(SEEDS:%=$(run)/$(best)/seed%/$$file) \
	    --against $(SEEDS:%=$(base_run)/$(base)/seed%/$$file); done
both := $(addprefix $(run)/,$(call of_seeds,$(best) $(if $(BASE_EPOCHS),,$(base)))) $(if $(BASE_EPOCHS),of-base)
paired: $(both)
	$(paired)

# predictions are too large to commit; their differences are not
results-paired: $(both)
	mkdir -p $(results)/paired
	{ $(paired); } > $(results)/paired/$(best)-against-$(base)$(BASE_EPOCHS:%=-epochs-%).md

.PHONY: of-base
of-base: | $(addprefix $(run)/,$(call of_seeds,$(best)))  # by a make of its own, which has one number of epochs
	$(MAKE) -f make/experiment.mk SET=$(SET) ARCH=$(ARCH) EPOCHS=$(base_epochs) BASE_EPOCHS= \
	  $(addprefix $(base_run)/,$(call of_seeds,$(base)))

of-seeds: $(addprefix $(run)/,$(call of_seeds,$(em)))

.PHONY: $(other_editors:%=condition-of-%)
$(other_editors:%=condition-of-%): condition-of-%: | $(made_here)
	$(MAKE) -f make/experiment.mk SET=$(SET) ARCH=$* of-seeds

# what is done with images without labels, beside none of them and beside their true labels
unlabelled_used := $(filter supervised upsampled pseudo% mean-teacher truth,$(conditions))
compare-pseudo: $(addprefix $(run)/,$(call of_seeds,$(unlabelled_used)))
	$(PY) evaluate.py --compare $^

# the reports behind the tables of RESULTS.md, small enough to commit
results: compare
	mkdir -p $(results)
	cd $(run) && cp --parents $(tables) $(CURDIR)/$(results)

# ---- a condition by its name, for SEED -------------------------------------------------------------------
of_goal = $(foreach name,$@,$(addprefix $(run)/$(folder)/seed$(SEED)/,$(REPORTS)))
.SECONDEXPANSION:
$(conditions): $$(of_goal)
