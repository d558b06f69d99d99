# An expression classifier on real faces, on up-sampled ones, and on real faces and those of one generator of classes.
#   make -f make/expressions.mk ARCH=fexgan synthetic | compare | results
#   ARCHS="fexgan stargan"   those of several generators in one table, each by a make of its own
# Its first condition is `expressions` of affect.mk, which also says how all of them are tested.
ARCH ?= fexgan
made = $(ARCH)-g$(GENERATOR_SEED)
others := $(filter-out $(ARCH),$(ARCHS:%-expressions=%))
of_others = $(others:%=%-g$(GENERATOR_SEED))
compared = expressions upsampled-expressions $(made)
include make/affect.mk

of_classes := $(run)/generators/$(ARCH)-expressions/seed$(GENERATOR_SEED)/generator.onnx

.PHONY: synthetic of-seeds
synthetic: $(affect)/$(made)/seed$(SEED)/report_natural.json

of-seeds: $(addprefix $(affect)/,$(call of_seeds,$(made)))

compare: $(others:%=condition-of-%)
.PHONY: $(others:%=condition-of-%)
$(others:%=condition-of-%): condition-of-%: | $(made_here)
	$(MAKE) -f make/expressions.mk ARCH=$* of-seeds

$(affect)/upsampled-expressions/seed%/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --train $(labelled) --upsample $(count) --tasks expression $(learn)

$(affect)/$(made)/seed%/classifier.pt: $(affect)/$(made)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $(labelled) $< --tasks expression $(learn)

$(affect)/$(made)/synthetic/manifest.csv: $(of_classes)
	$(PY) synthesize.py --model $< --source $(labelled) --recipe expressions --count $(count) --out $(@D) \
	  --sheet $(@D)/sheet.png --device $(DEVICE)

$(run)/generators/$(ARCH)-expressions/seed%/generator.pt: $(data) | $(READY)
	$(PY) train_generator.py --arch $(ARCH) --tasks expression --train $(labelled) --validation $(validation) \
	  --out $@ --seed $* --device $(DEVICE) --resume $(generator_options)

%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@
