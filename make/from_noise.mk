# Faces and digits from noise, and discriminators that read AUs, valence and arousal. The Makefile calls it.
include make/settings.mk
include make/samplers.mk
include make/digits.mk
include make/open_problem.mk

# ---- the same for all ------------------------------------------------------------------------------------
runs/$(PRESET)/%/classifier.onnx: runs/$(PRESET)/%/classifier.pt
	$(PY) export_onnx.py $< --out $@

runs/$(PRESET)/%/generator.onnx: runs/$(PRESET)/%/generator.pt
	$(PY) export_onnx.py $< --out $@

runs/$(PRESET)/%/samples/manifest.csv: runs/$(PRESET)/%/generator.onnx
	$(PY) synthesize.py --model $< --count $(SAMPLE_COUNT_$(PRESET)) --out $(@D) --device $(DEVICE)
