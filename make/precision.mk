# make precision: a classifier and an editor in fp16 and int8, beside their float32: size, speed, drop on a test manifest.
#   SMALL=folder of its classifier.pt   SMALL_EDITOR=folder of its generator.pt   SMALL_DATA=folder of test and validation sets
#   make precision-classifier | precision-editor   one of the two
include make/settings.mk

of_faces := runs/$(PRESET)/faces
SMALL ?= $(of_faces)/supervised/seed1
SMALL_EDITOR ?= $(of_faces)/generators/warp-editor/seed1
SMALL_DATA ?= data/$(PRESET)/faces
.PHONY: precision precision-classifier precision-editor
precision: precision-classifier precision-editor

# what faces-em has not made yet
$(of_faces)/supervised/seed1/classifier.pt:
	$(MAKE) -f make/experiment.mk SET=faces $@

$(of_faces)/generators/warp-editor/seed1/generator.pt:
	$(MAKE) -f make/experiment.mk SET=faces SEED=1 GENERATOR_SEED=1 $@

# in fp16 and in int8, each kept if it does on the images $(1) what it did; int8 is calibrated on the images $(2)
define shrink
	test -e $(basename $<).onnx || $(PY) export_onnx.py $< --out $(basename $<).onnx
	$(PY) export_onnx.py $< --out $(<D)/fp16.onnx --precision fp16 --test $(1)
	$(PY) export_onnx.py $< --out $(<D)/int8.onnx --precision int8 --test $(1) --calibration $(2)
	$(PY) -m tests.bench.latency $(basename $<).onnx $(<D)/fp16.onnx $(<D)/int8.onnx
endef
precision-classifier: $(SMALL)/classifier.pt | $(READY)
	$(call shrink,$(SMALL_DATA)/test_natural.csv,$(SMALL_DATA)/validation.csv)

# an editor answers to each AU in turn, from nothing to its most
precision-editor: $(SMALL_EDITOR)/generator.pt | $(READY)
	$(call shrink,$(SMALL_DATA)/validation.csv,$(SMALL_DATA)/judge_validation.csv)
