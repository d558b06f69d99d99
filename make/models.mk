# The models that come with the project. runs/models/reader.md says what the reader can do and what it cannot.
READER_FACES ?= data/reader
READER_COUNT ?= 15000
READER_MOST ?= 4000
READER ?= runs/models/reader.onnx
READER_VALIDATION ?= 900
.PHONY: reader

reader: | $(READY_FACES)
	$(PY) -m lib.datasets.rendered_faces --out $(READER_FACES) --size 96 --look world --framing tight --pose 28 \
	  --labelled 0 --unlabelled $(READER_COUNT) --validation $(READER_VALIDATION) --test 0 --test-natural 0 --pairs 0 \
	  --pairs-validation 0 --judge 0 --judge-validation 0 --people 2000 --seed 21 --device $(DEVICE)
	$(PY) -m lib.faces.reader --train $(READER_FACES)/unlabelled_truth.csv --validation $(READER_FACES)/validation.csv \
	  --most $(READER_MOST) --out $(READER)
