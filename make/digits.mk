# Samplers on MNIST digits instead of faces, a control: `make compare-digits` (DIGITS=folder: the whole of MNIST).
#   a cell is one sampler and one seed; the classifier of other digits reads the samples, and its features are the
#   embedding in which they are compared
DIGIT_SAMPLERS ?= gan-mlp gan conditional-gan conditional-wgan
digit_data := data/$(PRESET)/digits
digit_run := runs/$(PRESET)/digits
digit_generators := $(digit_run)/generators
digit_reader := $(digit_run)/reader/seed1000
digit_cells := $(foreach a,$(DIGIT_SAMPLERS),$(foreach g,$(SAMPLER_SEEDS),$(digit_generators)/$a/seed$g))
DIGIT_STEPS_smoke := 40
DIGIT_STEPS_quick := 400
DIGIT_STEPS_long := 800
DIGIT_STEPS_paper := 3000
.PHONY: compare-digits results-digits

$(digit_data)/.done: | $(READY)
	$(PY) -m lib.datasets.mnist_digits --out $(@D) $(if $(DIGITS),--digits $(DIGITS))
	@touch $@

$(digit_reader)/classifier.pt: $(digit_data)/.done
	$(PY) train_classifier.py --tasks expression --train $(digit_data)/reader.csv --validation $(digit_data)/validation.csv \
	  --out $@ --seed 1000 --max-steps $(DIGIT_STEPS_$(PRESET)) --schedule cosine --patience 99 --device $(DEVICE) --resume

digit_architecture = $(firstword $(subst /, ,$(@:$(digit_generators)/%=%)))
$(digit_generators)/%/generator.pt: $(digit_data)/.done
	$(PY) train_generator.py --arch $(patsubst %-mlp,%,$(digit_architecture)) --train $(digit_data)/labelled.csv \
	  --validation $(digit_data)/validation.csv --out $@ --seed $(call seed_of,$@) --device $(DEVICE) --resume \
	  $(call sampler_options,$(digit_architecture))

$(digit_generators)/%/report.json: $(digit_generators)/%/samples/manifest.csv $(digit_reader)/classifier.onnx
	$(PY) evaluate.py --samples $< --model $(digit_reader)/classifier.onnx --identity $(digit_reader)/classifier.onnx \
	  --real $(digit_data)/test_natural.csv --learnt $(digit_data)/labelled.csv --report $(@D)/plots --device $(DEVICE) > $@.tmp
	cp $$(ls $(@D)/epochs/*.png | tail -1) $(@D)/sheet_100.png
	mv $@.tmp $@

compare-digits: $(digit_cells:%=%/report.json)
	$(PY) evaluate.py --compare $^

results-digits: compare-digits  # small reports and sheets, to commit
	cd $(digit_run) && for cell in $(digit_cells:$(digit_run)/%=%); do mkdir -p $(CURDIR)/runs/results/$(PRESET)/digits/$$cell \
	  && cp $$cell/report.json $$cell/sheet_100.png $(CURDIR)/runs/results/$(PRESET)/digits/$$cell; done
