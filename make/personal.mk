# Personal and normalised models (Niinuma et al. 2022, 4.2.3, 4.5, 4.10). Each person of the natural test gives one
# neutral image: the frame of least activity, as the generic model reads it. It is left out of the test of every row.
# target-domain is what a personal model competes with where the test set is another data set: a model of its other people.
#   make -f make/personal.mk personalised | normalised | compare | results
include make/settings.mk

.PHONY: personalised normalised compare results
personalised:  # the goal where none is named

ARCH ?= $(EDITOR)
include make/faces.mk

generic := $(run)/supervised/seed$(SEED)
generator := $(run)/generators/$(ARCH)/seed$(GENERATOR_SEED)/generator.onnx
at := $(run)/personal/seed$(SEED)
PERSONAL_LEVELS := 0 0.2 0.4 0.6 0.8 1
PERSONAL := --batch 25 --personal-steps 50 --personal-rates 1e-5 1e-4 1e-3 $(au_loss) --augment faces
learn = --validation $(word 2,$^) --out $@ --seed $(SEED) --device $(DEVICE) --resume $(classifier_options) $(au_loss)

rows := generic target-domain personal last-layer calibrated normalised-neutral normalised-mean
reports := $(rows:%=$(at)/%/report.json)
personalised: $(filter %/generic/report.json %/personal/report.json %/last-layer/report.json,$(reports))
normalised: $(filter %/generic/report.json %/calibrated/report.json,$(reports)) $(filter $(at)/normalised-%,$(reports))

# ---- the generic model, and the editor --------------------------------------------------------------------
$(generic)/classifier.onnx:
	$(MAKE) -f make/experiment.mk SET=faces SEED=$(SEED) supervised

$(generic)/classifier.pt: $(generic)/classifier.onnx ;

$(generator):
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$(ARCH) GENERATOR_SEED=$(GENERATOR_SEED) generator

# ---- reference images: neutral frames, and means ----------------------------------------------------------
$(at)/test.csv: $(generic)/classifier.onnx
	$(PY) -m lib.references $(or $(test_natural),$(test)) --by least --model $< --drop --frames $(at)/test_neutral.csv --out $@

$(at)/validation.csv: $(generic)/classifier.onnx
	$(PY) -m lib.references $(validation) --by least --model $< --drop --frames $(at)/validation_neutral.csv --out $@

$(at)/labelled.csv: $(data)  # people who are learnt from have labels
	$(PY) -m lib.references $(firstword $(labelled)) --by labels --out $@

$(at)/labelled-mean.csv: $(data)
	$(PY) -m lib.references $(firstword $(labelled)) --by mean --out $@

$(at)/test-mean.csv $(at)/validation-mean.csv: $(at)/%-mean.csv: $(at)/%.csv
	$(PY) -m lib.references $< --by mean --out $@

# ---- personal models: six levels of each AU, made from the neutral image ----------------------------------
$(at)/people.csv: $(generator) $(at)/test.csv $(at)/validation.csv
	for level in $(PERSONAL_LEVELS); do \
	  $(PY) synthesize.py --model $< --source $(at)/test_neutral.csv $(at)/validation_neutral.csv --assume-neutral \
	    --recipe single-au --level $$level --out $(at)/edits/$$level --device $(DEVICE) || exit; done
	$(PY) -m lib.manifest merge $(PERSONAL_LEVELS:%=$(at)/edits/%/manifest.csv) --out $@

personal = $(PY) train_classifier.py --init $(generic)/classifier.pt --personalise $< --validation $(at)/validation.csv \
  --out '$(@D)/{subject}.pt' --seed $(SEED) --device $(DEVICE) $(PERSONAL)

$(at)/personal/.done: $(at)/people.csv $(generic)/classifier.pt
	$(personal)
	@touch $@

$(at)/last-layer/.done: $(at)/people.csv $(generic)/classifier.pt
	$(personal) --only-heads
	@touch $@

# ---- models of the test set's own domain: each third of its people is read by a model of the other two thirds ----------
domain := $(at)/target-domain
thirds := fold1 fold2 fold3
$(domain)/.split: $(at)/test.csv
	$(PY) -m lib.datasets.split $< --out $(@D) --folds $(words $(thirds))
	@touch $@

$(thirds:%=$(domain)/%/classifier.pt): $(domain)/.split
	$(PY) train_classifier.py --train $(@D)/labelled.csv --validation $(@D)/validation.csv --out $@ --seed $(SEED) \
	  --device $(DEVICE) --resume $(classifier_options) $(au_loss)

# a person's model is that of the fold in which the person is tested: all are read as one test set
$(domain)/.done: $(thirds:%=$(domain)/%/classifier.onnx)
	for fold in $(thirds); do sed -n 's/,test$$//p' $(@D)/$$fold/subjects.csv | while read -r person; do \
	  ln -sf $$fold/classifier.onnx "$(@D)/$$person.onnx" || exit; done || exit; done
	@touch $@

# ---- models that compare with a reference -----------------------------------------------------------------
$(at)/calibrated/classifier.pt: $(at)/labelled.csv $(at)/validation.csv
	$(PY) train_classifier.py --train $< --reference features $(learn)

$(at)/normalised-neutral/classifier.pt: $(at)/labelled.csv $(at)/validation.csv
	$(PY) train_classifier.py --train $< --reference image $(learn)

$(at)/normalised-mean/classifier.pt: $(at)/labelled-mean.csv $(at)/validation-mean.csv
	$(PY) train_classifier.py --train $< --reference image $(learn)

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

# ---- reports ----------------------------------------------------------------------------------------------
evaluate = $(PY) evaluate.py --predictions $(@D)/predictions.csv --device $(DEVICE)

$(at)/generic/report.json: $(generic)/classifier.onnx $(at)/test.csv
	@mkdir -p $(@D)
	$(evaluate) --model $< --test $(at)/test.csv > $@.tmp && mv $@.tmp $@

$(at)/personal/report.json $(at)/last-layer/report.json $(domain)/report.json: %/report.json: %/.done
	$(evaluate) --model '$(@D)/{subject}.onnx' --test $(at)/test.csv > $@.tmp && mv $@.tmp $@

$(at)/normalised-mean/report.json: $(at)/normalised-mean/classifier.onnx $(at)/test-mean.csv
	$(evaluate) --model $< --test $(at)/test-mean.csv > $@.tmp && mv $@.tmp $@

$(at)/calibrated/report.json $(at)/normalised-neutral/report.json: %/report.json: %/classifier.onnx $(at)/test.csv
	$(evaluate) --model $< --test $(at)/test.csv > $@.tmp && mv $@.tmp $@

# what the features of one person's images tell apart, by the generic and by the personal model
page := $(at)/features/index.html
$(page): $(generic)/classifier.onnx $(at)/test.csv $(at)/personal/.done
	$(PY) -m lib.evaluation.feature_maps $< '$(at)/personal/{subject}.onnx' --test $(word 2,$^) --out $(@D)

# every row against the generic model, person by person
compare: $(reports) $(page)
	$(PY) -m lib.evaluation.personal_table $(reports) --out -

results: $(reports) $(page)
	@mkdir -p $(results)/personal/seed$(SEED)
	$(PY) -m lib.evaluation.personal_table $(reports) --out $(results)/personal/seed$(SEED)/table.md
	cp $(at)/features/features.png $(results)/personal/seed$(SEED)
