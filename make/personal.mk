# Personal and normalised models (Niinuma et al. 2022, 4.2.3, 4.5, 4.10). Each person of the tests gives one neutral
# image: the frame of least activity, as the generic model reads it. It is left out of the test of every row.
# target-domain is what a personal model competes with where the test set is another data set: a model of its other people.
#   make -f make/personal.mk personalised | normalised | compare | results
#   make -f make/personal.mk compare ACROSS=1     the same for people of another data set than the generic model learnt from
#   make -f make/personal.mk beside     generic and personal models alone: the last tables of compare-faces
include make/settings.mk

.PHONY: personalised normalised compare results beside
personalised:  # the goal where none is named

ARCH ?= $(EDITOR)
include make/faces.mk

# personal models where the test is another data set (4.10), and models of that set's own people
ifneq ($(ACROSS),)
include make/other.mk
place := personal-across$(if $(OTHER),-$(subst /,-,$(OTHER:%/=%)))
test := $(other_test)
test_natural :=
ifeq ($(OTHER),)
$(other_test): $(other_data) ;
endif
licence := $(if $(OTHER),$(LICENCE),$(licence))
else
place := personal
endif

generic := $(run)/supervised/seed$(SEED)
generator := $(edits)/generators/$(variant)/seed$(GENERATOR_SEED)/generator.onnx
at := $(run)/$(place)/seed$(SEED)
PERSONAL_LEVELS := 0 0.2 0.4 0.6 0.8 1
PERSONAL := --batch 25 --personal-steps 50 --personal-rates 1e-5 1e-4 1e-3 $(au_loss) --augment faces
learn = --validation $(word 2,$^) --out $@ --seed $(SEED) --device $(DEVICE) --resume $(classifier_options) $(au_loss)

# tests are at/test.csv and, where there is one, at/test_natural.csv; their reports have the names of other conditions'
tests := test $(if $(test_natural),test_natural)
files := $(tests:test%=report%.json)
natural := $(lastword $(tests))
# these learn from edits
personal := personal$(by_generator)
last_layer := last-layer$(by_generator)
rows := generic target-domain $(personal) $(last_layer) $(if $(ACROSS),,calibrated normalised-neutral normalised-mean)
reports_of = $(foreach row,$1,$(files:%=$(at)/$(row)/%))
personalised: $(call reports_of,generic $(personal) $(last_layer))
normalised: $(call reports_of,generic calibrated normalised-neutral normalised-mean)

# ---- the generic model, and the editor --------------------------------------------------------------------
$(generic)/classifier.onnx: $(data)
	$(MAKE) -f make/experiment.mk SET=faces SEED=$(SEED) supervised

$(generic)/classifier.pt: $(generic)/classifier.onnx ;

$(generator): $(data)
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$(ARCH) GENERATOR_SEED=$(GENERATOR_SEED) EPOCHS= generator

# ---- reference images: neutral frames, and means ----------------------------------------------------------
$(at)/%.csv: $(generic)/classifier.onnx $(if $(ACROSS),$(other_data))
	$(PY) -m lib.references $($*) --by least --model $< --drop --frames $(at)/$*_neutral.csv --out $@

$(at)/labelled.csv: $(data) $(merged)  # people who are learnt from have labels
	$(PY) -m lib.references $(labelled_rows) --by labels --out $@

$(at)/labelled-mean.csv: $(data) $(merged)
	$(PY) -m lib.references $(labelled_rows) --by mean --out $@

$(at)/%-mean.csv: $(at)/%.csv
	$(PY) -m lib.references $< --by mean --out $@

# ---- personal models: six levels of each AU, made from the neutral image ----------------------------------
read := $(tests) validation
people := $(at)/people$(by_generator).csv
made := $(at)/edits$(by_generator)
$(people): $(generator) $(read:%=$(at)/%.csv)
	for level in $(PERSONAL_LEVELS); do \
	  $(PY) synthesize.py --model $< --source $(read:%=$(at)/%_neutral.csv) --assume-neutral \
	    --recipe single-au --level $$level --out $(made)/$$level --device $(DEVICE) || exit; done
	$(PY) -m lib.manifest merge $(PERSONAL_LEVELS:%=$(made)/%/manifest.csv) --out $@

personalise = $(PY) train_classifier.py --init $(generic)/classifier.pt --personalise $< \
  --validation $(at)/validation.csv --out '$(@D)/{subject}.pt' --seed $(SEED) --device $(DEVICE) $(PERSONAL)

$(at)/$(personal)/.done: $(people) $(generic)/classifier.pt
	$(personalise)
	@touch $@

$(at)/$(last_layer)/.done: $(people) $(generic)/classifier.pt
	$(personalise) --only-heads
	@touch $@

# ---- models of the test set's own domain: each third of its people is read by a model of the other two thirds ----------
domain := $(at)/target-domain
thirds := fold1 fold2 fold3
$(domain)/.split: $(at)/$(natural).csv
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

# ---- reports: $1 is the name of the test -------------------------------------------------------------------
define reports_on
evaluate_$1 = $$(PY) evaluate.py --test $$(lastword $$^) --predictions $$(@D)/$(1:test%=predictions%).csv \
  --device $$(DEVICE)

$(at)/generic/$(1:test%=report%.json): $(generic)/classifier.onnx $(at)/$1.csv
	@mkdir -p $$(@D)
	$$(evaluate_$1) --model $$< > $$@.tmp && mv $$@.tmp $$@

$(of_people:%=$(at)/%/$(1:test%=report%.json)): %/$(1:test%=report%.json): %/.done $(at)/$1.csv
	$$(evaluate_$1) --model '$$(@D)/{subject}.onnx' > $$@.tmp && mv $$@.tmp $$@
	$$(cards)

$(at)/normalised-mean/$(1:test%=report%.json): $(at)/normalised-mean/classifier.onnx $(at)/$1-mean.csv
	$$(evaluate_$1) --model $$< > $$@.tmp && mv $$@.tmp $$@
	$$(card)

$(of_references:%=$(at)/%/$(1:test%=report%.json)): %/$(1:test%=report%.json): %/classifier.onnx $(at)/$1.csv
	$$(evaluate_$1) --model $$< > $$@.tmp && mv $$@.tmp $$@
	$$(card)
endef
# of a model that stands beside its reports (generic has its own card), and of the models of all people in one call
card = $(call card_of,$(files))
cards = $(call card_of,$(files),,'$(@D)/{subject}.onnx')
of_people := $(personal) $(last_layer) target-domain
of_references := calibrated normalised-neutral
$(foreach name,$(tests),$(eval $(call reports_on,$(name))))

# what the features of one person's images tell apart, by the generic and by the personal model
features := $(at)/features$(by_generator)
page := $(features)/index.html
$(page): $(generic)/classifier.onnx $(at)/$(natural).csv $(at)/$(personal)/.done
	$(PY) -m lib.evaluation.feature_maps $< '$(at)/$(personal)/{subject}.onnx' --test $(word 2,$^) --out $(@D)

# Every row against the generic model, person by person, a table for each test. Models of the test's own domain learn
# from it, and are read on the natural one only
rows_of = $(if $(filter $(natural),$1),$(rows),$(filter-out target-domain,$(rows)))
table_of = $(foreach row,$(rows_of),$(at)/$(row)/$(1:test%=report%.json))
compare: $(foreach name,$(tests),$(call table_of,$(name))) $(page)
	$(foreach name,$(tests),$(PY) -m lib.evaluation.personal_table $(call table_of,$(name)) --out - && echo &&) true

kept := $(results)/$(place)/seed$(SEED)
results: $(foreach name,$(tests),$(call table_of,$(name))) $(page)
	@mkdir -p $(kept)
	$(foreach name,$(tests),$(PY) -m lib.evaluation.personal_table $(call table_of,$(name)) \
	  --out $(kept)/$(name:test%=table%)$(by_generator).md &&) \
	  cp $(features)/features.png $(kept)/features$(by_generator).png
	cd $(run) && cp --parents $(foreach name,$(tests),$(patsubst $(run)/%,%,$(call table_of,$(name)))) $(CURDIR)/$(results)

beside: $(call reports_of,generic $(personal))
	$(PY) evaluate.py --compare $^
	for file in $(tests:test%=predictions%.csv); do echo; \
	  $(PY) evaluate.py --compare $(at)/$(personal)/$$file --against $(at)/generic/$$file; done
