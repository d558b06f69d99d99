# An expression classifier on real faces, on up-sampled ones, and on real faces and those of one generator of classes.
#   make -f make/expressions.mk ARCH=fexgan GOAL      GOAL: supervised, upsampled, synthetic, compare, results
# Tested on natural faces of other people: accuracy and macro F1.
include make/settings.mk

.PHONY: supervised upsampled synthetic compare results
supervised:  # the goal where none is named

ARCH ?= fexgan
include make/faces.mk

# the task, and what a generator needs for it; one of AUs as well (stargan) lives beside its AU model
classes := $(run)/expressions
generator = $(run)/generators/$(ARCH)-expressions/seed$(GENERATOR_SEED)
made := $(ARCH)-g$(GENERATOR_SEED)
compared := supervised upsampled $(made)
learn = --tasks expression --validation $(validation) --out $@ --seed $* --device $(DEVICE) --resume $(classifier_options)

supervised upsampled: %: $(classes)/%/seed$(SEED)/report.json
synthetic: $(classes)/$(made)/seed$(SEED)/report.json

$(classes)/supervised/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) $(learn)

$(classes)/upsampled/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) $(learn)

$(classes)/$(made)/seed%/classifier.pt: $(classes)/$(made)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< $(learn)

$(run)/generators/$(ARCH)-expressions/seed%/generator.pt: $(data) | $(READY)
	$(PY) train_generator.py --arch $(ARCH) --tasks expression --train $(labelled) --validation $(validation) \
	  --out $@ --seed $* --device $(DEVICE) --resume $(generator_options)

$(classes)/$(made)/synthetic/manifest.csv: $(generator)/generator.onnx
	$(PY) synthesize.py --model $< --source $(labelled) --recipe expressions \
	  --count $(count) --out $(@D) --sheet $(@D)/sheet.png --device $(DEVICE)

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@

$(classes)/%/report.json: $(classes)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test_natural) --report $(@D)/plots --device $(DEVICE) > $@.tmp && mv $@.tmp $@
	@echo 'report: $@' >&2

tables := $(foreach c,$(compared),$(foreach s,$(SEEDS),$c/seed$s/report.json))

compare: $(addprefix $(classes)/,$(tables))
	$(PY) evaluate.py --compare $^

results: compare
	mkdir -p $(results)/expressions
	cd $(classes) && cp --parents $(tables) $(CURDIR)/$(results)/expressions
