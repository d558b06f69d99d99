# Faces from noise: every sampler on the same people, and what their images are worth to a classifier.
#   make compare-samplers              one table; a cell is one sampler and one seed, and a killed run goes on
#   make compare-sampled               an expression classifier on real images, and on real images and samples, as a table
# SAMPLER_SEEDS="1 2" are seeds of samplers, SEEDS="1 2 3" of classifiers.
SAMPLER_SEEDS ?= 1 2

# ---- presets ---------------------------------------------------------------------------------------------
SAMPLER_DATA_smoke := --labelled 300 --people 20 --validation 90 --test-natural 120
SAMPLER_DATA_quick := --labelled 12000 --people 400 --validation 600 --test-natural 3000
SAMPLER_DATA_long := $(SAMPLER_DATA_quick)
SAMPLER_DATA_paper := --labelled 60000 --people 2000 --validation 1000 --test-natural 6000
# other people, whom the reader of expressions and the identity embedding learn from
READER_DATA_smoke := --labelled 300 --people 20 --validation 90
READER_DATA_quick := --labelled 15000 --people 500 --validation 900
READER_DATA_long := $(READER_DATA_quick)
READER_DATA_paper := --labelled 60000 --people 2000 --validation 1000
READER_STEPS_smoke := 40
READER_STEPS_quick := 800
READER_STEPS_long := 1600
READER_STEPS_paper := 6000
SAMPLE_COUNT_smoke := 90
SAMPLE_COUNT_quick := 1800
SAMPLE_COUNT_long := 1800
SAMPLE_COUNT_paper := 9000
SAMPLED_COUNT_smoke := 90
SAMPLED_COUNT_quick := 12000
SAMPLED_COUNT_long := 12000
SAMPLED_COUNT_paper := 60000
SAMPLED_STEPS_smoke := 30
SAMPLED_STEPS_quick := 900
SAMPLED_STEPS_long := 3000
SAMPLED_STEPS_paper := 10000
# epochs are tens, so that a tenth and a half of the training have a sheet
SAMPLER_smoke := --epochs 10 --decay-epochs 1 --epoch-images 16 --batch 8
SAMPLER_long_relativistic-sampler := --epochs 100 --decay-epochs 40 --epoch-images 12800
SAMPLER_long := --epochs 60 --epoch-images 6400
SAMPLER_quick_relativistic-sampler := --epochs 20 --decay-epochs 8 --epoch-images 6400
SAMPLER_quick := --epochs 20 --epoch-images 6400
SAMPLER_paper := --preset paper
SAMPLER_OF_smoke_relativistic-sampler := --config warmup=10
SAMPLER_OF_quick_relativistic-sampler := --config bf16=true
# published: Table 3.10's network and losses, for AUs
SAMPLER_OF_quick_categorical-gan := --tasks au
SAMPLER_OF_quick_gan-mlp := --preset paper
SAMPLER_paper_gan := --preset convolutional

# ---- where things are ------------------------------------------------------------------------------------
sampler_data := data/$(PRESET)/samplers
reader_data := data/$(PRESET)/samplers-readers
sampler_run := runs/$(PRESET)/samplers
sampler_results := runs/results/$(PRESET)/samplers
generators := $(sampler_run)/generators
expression_reader := $(sampler_run)/reader/seed1000
identity_reader := $(sampler_run)/identity/seed1000
learnt := $(sampler_data)/labelled.csv
held_out := $(sampler_data)/test_natural.csv
sampler_cells := $(foreach a,$(SAMPLERS),$(foreach g,$(SAMPLER_SEEDS),$(generators)/$a/seed$g))
SHARES := 10 50 100
# of generators/gan/seed1/…: gan, and 1
architecture = $(firstword $(subst /, ,$(1:$(generators)/%=%)))
seed_of = $(patsubst seed%,%,$(filter seed%,$(subst /, ,$(1))))

.PHONY: compare-samplers results-samplers compare-sampled sampler-data
sampler-data: $(sampler_data)/.done $(reader_data)/.done

# ---- data ------------------------------------------------------------------------------------------------
no_others := --test 0 --unlabelled 0 --pairs 0 --pairs-validation 0 --judge 0 --judge-validation 0
$(sampler_data)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --size 32 --device $(DEVICE) $(no_others) $(SAMPLER_DATA_$(PRESET))
	@touch $@

$(reader_data)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --size 32 --device $(DEVICE) $(no_others) --test-natural 0 \
	  --seed 7 $(READER_DATA_$(PRESET))
	@touch $@

# ---- who reads the samples -------------------------------------------------------------------------------
$(expression_reader)/classifier.pt: $(reader_data)/.done
	$(PY) train_classifier.py --arch judge --tasks expression --train $(reader_data)/labelled.csv \
	  --validation $(reader_data)/validation.csv --out $@ --seed 1000 --augment faces --rare-weight 5 --max-steps $(READER_STEPS_$(PRESET)) \
	  --schedule cosine --learning-rate 3e-3 --ema 0.99 --weight-decay 0.02 --patience 99 --device $(DEVICE) --resume

$(identity_reader)/classifier.pt: $(reader_data)/.done
	$(PY) -m lib.evaluation.identity --train $(reader_data)/labelled.csv --validation $(reader_data)/validation.csv \
	  --out $@ --arch linear --seed 1000 --device $(DEVICE)

# ---- samplers, their samples, a report on them, and sheets along the training ------------------------------
sampler_options = $(or $(SAMPLER_$(PRESET)_$(1)),$(SAMPLER_$(PRESET))) $(SAMPLER_OF_$(PRESET)_$(1))
$(generators)/%/generator.pt: $(sampler_data)/.done
	$(PY) train_generator.py --arch $(patsubst %-mlp,%,$(call architecture,$@)) --train $(learnt) \
	  --validation $(sampler_data)/validation.csv --out $@ \
	  --seed $(call seed_of,$@) --device $(DEVICE) --resume $(call sampler_options,$(call architecture,$@))

$(generators)/%/report.json: $(generators)/%/samples/manifest.csv $(expression_reader)/classifier.onnx \
  $(identity_reader)/classifier.onnx
	$(PY) evaluate.py --samples $< --model $(expression_reader)/classifier.onnx --identity $(identity_reader)/classifier.onnx \
	  --real $(held_out) --learnt $(learnt) --report $(@D)/plots --device $(DEVICE) > $@.tmp
	count=$$(ls $(@D)/epochs | wc -l); for share in $(SHARES); do \
	  cp $(@D)/epochs/$$(printf %04d $$((count * share / 100 - 1))).png $(@D)/sheet_$$share.png; done
	mv $@.tmp $@

compare-samplers: $(sampler_cells:%=%/report.json)
	$(PY) evaluate.py --compare $^

results-samplers: compare-samplers  # small reports and sheets, to commit
	cd $(sampler_run) && for cell in $(sampler_cells:$(sampler_run)/%=%); do mkdir -p $(CURDIR)/$(sampler_results)/$$cell \
	  && cp $$cell/report.json $(SHARES:%=$$cell/sheet_%.png) $(CURDIR)/$(sampler_results)/$$cell; done

# ---- are samples worth anything to a classifier of expressions? (the question of Kolbenschlager 2020) ------
# conditional: the class asked for is the label; others: the classifier of real images labels what they made.
# `make faces-NAME` asks it of one sampler, compare-sampled of all
UNCONDITIONAL := gan gan-mlp categorical-gan multitask-gan
sampled_reports = $(foreach c,supervised upsampled $(1),$(foreach s,$(SEEDS),$(sampler_run)/$c/seed$s/report.json))
learn_expressions = --tasks expression --validation $(sampler_data)/validation.csv --out $@ --seed $(call seed_of,$@) \
  --augment faces --max-steps $(SAMPLED_STEPS_$(PRESET)) --schedule cosine --ema 0.99 --patience 99 --device $(DEVICE) --resume
first_sampler = $(generators)/$(1)/seed$(firstword $(SAMPLER_SEEDS))

$(sampler_run)/supervised/%/classifier.pt: $(sampler_data)/.done
	$(PY) train_classifier.py --train $(learnt) $(learn_expressions)

$(sampler_run)/upsampled/%/classifier.pt: $(sampler_data)/.done
	$(PY) train_classifier.py --train $(learnt) --upsample $(SAMPLED_COUNT_$(PRESET)) $(learn_expressions)

# as many samples as real faces; another seed than that of the measured ones
$(generators)/%/training_samples/manifest.csv: $(generators)/%/generator.onnx
	$(PY) synthesize.py --model $< --count $(SAMPLED_COUNT_$(PRESET)) --out $(@D) --seed 5 --device $(DEVICE)

$(UNCONDITIONAL:%=$(sampler_run)/%/pseudo.csv): $(sampler_run)/%/pseudo.csv: \
    $(call first_sampler,%)/training_samples/manifest.csv $(sampler_run)/supervised/seed1/classifier.onnx
	@mkdir -p $(@D)
	$(PY) pseudo_label.py --model $(sampler_run)/supervised/seed1/classifier.onnx --images $< --out $@ --device $(DEVICE)

learn_samples = $(PY) train_classifier.py --train $(learnt) $< $(learn_expressions)
$(sampler_run)/conditional-gan/%/classifier.pt: $(call first_sampler,conditional-gan)/training_samples/manifest.csv
	$(learn_samples)

$(sampler_run)/conditional-wgan/%/classifier.pt: $(call first_sampler,conditional-wgan)/training_samples/manifest.csv
	$(learn_samples)

$(sampler_run)/relativistic-sampler/%/classifier.pt: $(call first_sampler,relativistic-sampler)/training_samples/manifest.csv
	$(learn_samples)

$(sampler_run)/gan/%/classifier.pt: $(sampler_run)/gan/pseudo.csv
	$(learn_samples)

$(sampler_run)/gan-mlp/%/classifier.pt: $(sampler_run)/gan-mlp/pseudo.csv
	$(learn_samples)

$(sampler_run)/categorical-gan/%/classifier.pt: $(sampler_run)/categorical-gan/pseudo.csv
	$(learn_samples)

$(sampler_run)/multitask-gan/%/classifier.pt: $(sampler_run)/multitask-gan/pseudo.csv
	$(learn_samples)

$(sampler_run)/%/report.json: $(sampler_run)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(held_out) --device $(DEVICE) > $@.tmp && mv $@.tmp $@

compare-sampled: $(call sampled_reports,$(SAMPLERS))
	$(PY) evaluate.py --compare $^

BY_SAMPLER := $(SAMPLERS:%=faces-%)
.PHONY: $(BY_SAMPLER) results-sampled
$(BY_SAMPLER): faces-%: $(foreach s,$(SEEDS),$(sampler_run)/%/seed$s/report.json) $(call sampled_reports,)
	$(PY) evaluate.py --compare $^

results-sampled: compare-sampled  # the reports, to commit
	cd $(sampler_run) && for report in $(patsubst $(sampler_run)/%,%,$(call sampled_reports,$(SAMPLERS))); do \
	  mkdir -p $(CURDIR)/$(sampler_results)/$$(dirname $$report) && cp $$report $(CURDIR)/$(sampler_results)/$$report; done
