# make precision: a classifier in fp16 and int8, beside its float32: size, speed, drop on a test manifest.
#   SMALL=folder of its classifier.pt   SMALL_DATA=folder of its test and validation manifests
include make/settings.mk

SMALL ?= runs/$(PRESET)/faces/supervised/seed1
SMALL_DATA ?= data/$(PRESET)/faces
.PHONY: precision
precision: | $(READY)
	$(PY) export_onnx.py $(SMALL)/classifier.pt --out $(SMALL)/fp16.onnx --precision fp16 \
	  --test $(SMALL_DATA)/test_natural.csv
	$(PY) export_onnx.py $(SMALL)/classifier.pt --out $(SMALL)/int8.onnx --precision int8 \
	  --test $(SMALL_DATA)/test_natural.csv --calibration $(SMALL_DATA)/validation.csv
	$(PY) -m tests.bench.latency $(SMALL)/classifier.onnx $(SMALL)/fp16.onnx $(SMALL)/int8.onnx
