# Cross-validation over people, as published tables have it: each fold's classifier is tested on its own people.
#   make faces-folds FOLDS=3            three folds;  FOLDS=disfa: DISFA's usual three;  FOLDS=leave-one-out
#   STRIDE=5                            every fifth image of each person (or video) in the tests
#   make results-folds                  the same table as a file, to commit
include make/settings.mk

.PHONY: folds results-folds
folds:  # each fold, their mean, and all folds pooled

FOLDS ?= 3
STRIDE ?= 1
include make/faces.mk

split := $(run)/folds-$(FOLDS)
protocol := $(if $(filter disfa leave-one-out,$(FOLDS)),--protocol $(FOLDS),--folds $(FOLDS))

$(split)/.done: $(data) $(merged) | $(READY)
	rm -f $(@D)/fold*/test.csv  # of people who are no longer there
	$(PY) -m lib.datasets.split $(labelled_rows) --out $(@D) $(protocol)
	@touch $@

# how many folds there are is known once the people are split
folds: $(split)/.done
	$(MAKE) -f make/folds.mk FOLDS=$(FOLDS) STRIDE=$(STRIDE) pooled

results-folds: $(split)/.done
	$(MAKE) -f make/folds.mk FOLDS=$(FOLDS) STRIDE=$(STRIDE) results-pooled

predictions := $(patsubst %/test.csv,%/seed$(SEED)/predictions-$(STRIDE).csv,$(wildcard $(split)/fold*/test.csv))

.PHONY: pooled results-pooled
pooled: $(predictions)
	$(PY) evaluate.py --compare $^

# what is not usual stands in the name: table-seed2-stride5.md
unless_1 = $(if $(filter-out 1,$2),-$1$2)
kept := $(results)/folds-$(FOLDS)/table$(call unless_1,seed,$(SEED))$(call unless_1,stride,$(STRIDE)).md
results-pooled: $(predictions)
	@mkdir -p $(dir $(kept))
	$(PY) evaluate.py --compare $^ > $(kept).tmp && mv $(kept).tmp $(kept)

$(split)/%/seed$(SEED)/classifier.pt: $(split)/.done
	$(PY) train_classifier.py --train $(split)/$*/labelled.csv --validation $(split)/$*/validation.csv --out $@ \
	  --seed $(SEED) --device $(DEVICE) --resume $(classifier_options) $(au_loss)

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

$(split)/%/seed$(SEED)/predictions-$(STRIDE).csv: $(split)/%/seed$(SEED)/classifier.onnx
	$(PY) evaluate.py --model $< --test $(split)/$*/test.csv --stride $(STRIDE) --predictions $@ --device $(DEVICE) \
	  > $(@D)/report-$(STRIDE).json.tmp && mv $(@D)/report-$(STRIDE).json.tmp $(@D)/report-$(STRIDE).json
	$(call card_of,report-*.json)
