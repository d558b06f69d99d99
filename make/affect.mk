# Valence and arousal, expressions, AUs: a model of each alone, and one of all three together.
# Read on the natural test: one AU at a time shows no feeling.
#   make -f make/affect.mk va | va-mse | au | joint | joint-ccc | expressions | emotions | compare | results
# va and joint do not have the same loss of valence and arousal. va-mse and joint-ccc have the other one: what is due to
# the loss, and what to learning all tasks, can so be told apart.
include make/settings.mk

.PHONY: va va-mse au joint joint-ccc expressions emotions compare results
va:  # the goal where none is named

ARCH ?= $(EDITOR)
include make/faces.mk

generator := $(run)/generators/$(variant)/seed$(GENERATOR_SEED)/generator.onnx
affect := $(run)/affect
emotions := $(affect)/emotions$(by_generator)
compared ?= va va-mse au joint joint-ccc expressions emotions
of_others ?=
learn = --validation $(validation) --out $@ --seed $* --device $(DEVICE) --resume $(classifier_options)

va va-mse au joint joint-ccc expressions: %: $(affect)/%/seed$(SEED)/report_natural.json

emotions: $(emotions)/seed$(SEED)/report_natural.json

$(affect)/va/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks va --losses va=$(VA_LOSS) $(learn)

$(affect)/va-mse/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks va --losses va=mse $(learn)

$(affect)/expressions/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks expression $(learn)

# what the joint model's AUs are compared with
$(affect)/au/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks au $(au_loss) $(learn)

# one option has the losses of all tasks: --losses au=bce va=mse
joint_losses = $(or $(au_loss),--losses) va=$(1)
$(affect)/joint/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks au va expression $(call joint_losses,$(JOINT_VA_LOSS)) $(learn)

$(affect)/joint-ccc/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --tasks au va expression $(call joint_losses,ccc) $(learn)

# expressions of labelled faces, and of edits that show the AUs of an emotion (FACS) and carry its name
$(emotions)/seed%/classifier.pt: $(emotions)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< --tasks expression $(learn)

$(emotions)/synthetic/manifest.csv: $(generator)
	$(PY) synthesize.py --model $< --source $(labelled) --recipe emotions --level-range 0.3 1 --count $(count) \
	  --out $(@D) --sheet $(@D)/sheet.png --device $(DEVICE)

$(generator): $(data)
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$(ARCH) GENERATOR_SEED=$(GENERATOR_SEED) generator

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

$(affect)/%/report_natural.json: $(affect)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(or $(test_natural),$(test)) \
	  $(if $(filter seed$(SEED),$(notdir $(@D))),--report $(@D)/plots) \
	  --predictions $(@D)/predictions_natural.csv --device $(DEVICE) > $@.tmp && mv $@.tmp $@
	$(call card_of,report_natural.json)
	@echo 'report: $@' >&2

of_seeds = $(foreach c,$1,$(foreach s,$(SEEDS),$c/seed$s/report_natural.json))
of_names := $(patsubst emotions,$(notdir $(emotions)),$(compared))
made_here := $(addprefix $(affect)/,$(call of_seeds,$(of_names)))
tables := $(call of_seeds,$(of_names) $(of_others))

compare: $(made_here)
	$(PY) evaluate.py --compare $(addprefix $(affect)/,$(tables))

results: compare
	mkdir -p $(results)/affect
	cd $(affect) && cp --parents $(tables) $(CURDIR)/$(results)/affect
