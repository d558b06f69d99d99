# Two data sets (Niinuma et al. 2022, 4.7 and 4.8; tables 5 and 6). `home` has the labels that teach the editor: the set
# of faces-em, and `other` is the second (make/other.mk). Every classifier is tested on both.
#   make -f make/sources.mk sources | compare-sources | results-sources
# And a few labels of `other` beside many of `home` (domain): do images of `home`, or edits of the few people, help?
#   make -f make/sources.mk domain | compare-domain | results-domain
include make/settings.mk

.PHONY: sources compare-sources results-sources domain compare-domain results-domain
sources:  # the goal where none is named

ARCH ?= $(EDITOR)
include make/faces.mk
include make/other.mk

# a folder of its own for each OTHER, named by its whole path: other people may call theirs disfa, too
place := sources$(if $(OTHER),-$(subst /,-,$(OTHER:%/=%)))
at := $(run)/$(place)
home_labelled := $(labelled_rows)
home_test := $(or $(test_natural),$(test))
sets := $(data) $(merged) $(if $(OTHER),$(at)/.checked,$(other_data))
validation_both := $(at)/validation.csv
reader := $(run)/supervised/seed1/classifier.onnx
generator := $(run)/generators/$(variant)/seed$(GENERATOR_SEED)/generator.onnx

# edits and real images of either set, as many of both together (half), and all of both
kinds := home other half both
source_rows := $(kinds:%=real-%) $(kinds:%=edits-%$(by_generator))
reports_of = $(foreach c,$(1),$(foreach s,$(2),$(foreach t,home other,$(at)/$c/seed$s/report_$t.json)))

sources: $(call reports_of,$(source_rows),$(SEED))

domain_rows := few home few-home few-home-even few-edits$(by_generator) home-first edits-first$(by_generator) all
domain: $(call reports_of,$(domain_rows),$(SEED))

# your own second set: nobody whose images are learnt from is in its validation or test set
$(at)/.checked: $(other_data) | $(READY)
	$(PY) -m lib.manifest check $(other)/labelled.csv --apart $(other)/validation.csv $(other)/test.csv $(shared)
	@mkdir -p $(@D) && touch $@

# ---- the other set, and the models of the first ----------------------------------------------------------
$(reader): $(data)
	$(MAKE) -f make/experiment.mk SET=faces SEED=1 supervised

$(generator): $(data)
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$(ARCH) GENERATOR_SEED=$(GENERATOR_SEED) generator

$(validation_both): $(sets)
	$(PY) -m lib.manifest merge $(validation) $(other)/validation.csv --out $@

# ---- real images: every level of every AU equally often, as edits have them ---------------------------------
balance = $(PY) -m lib.balance $(1) --levels --count $(count) --out $@

$(at)/real-home/train.csv: $(sets)
	$(call balance,$(home_labelled))

$(at)/real-other/train.csv: $(sets)
	$(call balance,$(other)/labelled.csv)

$(at)/real-half/all.csv: $(sets)
	$(PY) -m lib.manifest merge $(home_labelled) $(other)/labelled.csv --out $@

$(at)/real-half/train.csv: $(at)/real-half/all.csv
	$(call balance,$<)

$(at)/real-both/train.csv: $(at)/real-home/train.csv $(at)/real-other/train.csv
	$(PY) -m lib.manifest merge $^ --out $@

# ---- edits of either set's people towards label rows of the first -------------------------------------------
edits_home := $(at)/edits-home$(by_generator)
edits_other := $(at)/edits-other$(by_generator)
edits_half := $(at)/edits-half$(by_generator)
edits_both := $(at)/edits-both$(by_generator)
# what a face of the other set shows before the edit is read by the first set's classifier: its labels are not used
$(at)/other_read.csv: $(reader) $(sets)
	$(PY) pseudo_label.py --model $< --images $(other)/labelled.csv --relabel --out $@ --device $(DEVICE)

edit = $(PY) synthesize.py --model $(generator) --source $(1) --targets $(home_labelled) --recipe balanced \
  --sources all --count $(count) --sheet $(@D)/sheet.png --out $(@D) --device $(DEVICE)

$(edits_home)/synthetic/manifest.csv: $(generator) $(sets)
	$(call edit,$(home_labelled))

$(edits_other)/synthetic/manifest.csv: $(generator) $(at)/other_read.csv
	$(call edit,$(at)/other_read.csv)

$(edits_half)/synthetic/manifest.csv: $(generator) $(at)/other_read.csv
	$(call edit,$(home_labelled) $(at)/other_read.csv)

$(edits_home)/train.csv $(edits_other)/train.csv $(edits_half)/train.csv: %/train.csv: %/synthetic/manifest.csv
	$(PY) -m lib.manifest merge $< --out $@

$(edits_both)/train.csv: $(edits_home)/train.csv $(edits_other)/train.csv
	$(PY) -m lib.manifest merge $^ --out $@

# ---- classifiers: checkpoints and thresholds are chosen on people of the sets whose labels are used -----------
learn = --out $@ --seed $(patsubst seed%,%,$(notdir $(@D))) --device $(DEVICE) --resume $(classifier_options) $(au_loss)
teach = $(PY) train_classifier.py --train $< --validation

$(at)/real-other/seed%/classifier.pt: $(at)/real-other/train.csv
	$(teach) $(other)/validation.csv $(learn)

$(at)/real-half/seed%/classifier.pt: $(at)/real-half/train.csv $(validation_both)
	$(teach) $(validation_both) $(learn)

$(at)/real-both/seed%/classifier.pt: $(at)/real-both/train.csv $(validation_both)
	$(teach) $(validation_both) $(learn)

$(at)/real-home/seed%/classifier.pt: $(at)/real-home/train.csv
	$(teach) $(validation) $(learn)

$(edits_home)/seed%/classifier.pt: $(edits_home)/train.csv
	$(teach) $(validation) $(learn)

$(edits_other)/seed%/classifier.pt: $(edits_other)/train.csv
	$(teach) $(validation) $(learn)

$(edits_half)/seed%/classifier.pt: $(edits_half)/train.csv
	$(teach) $(validation) $(learn)

$(edits_both)/seed%/classifier.pt: $(edits_both)/train.csv
	$(teach) $(validation) $(learn)

# ---- few labels of the other set: a tenth of its people; all rows see rare AUs more often ----------------------
few := $(at)/few/labelled.csv
few_edits := $(at)/few-edits$(by_generator)
edits_first := $(at)/edits-first$(by_generator)
edits := $(few_edits)/synthetic/manifest.csv
few_learn = --upsample $(count) --validation $(other)/validation.csv $(learn)
$(few): $(sets)
	$(PY) -m lib.datasets.split $(other)/labelled.csv --fractions 0.1 0 0.9 --out $(@D)

$(edits): $(generator) $(few)
	$(call edit,$(few))

$(at)/few/seed%/classifier.pt: $(few)
	$(PY) train_classifier.py --train $(few) $(few_learn)

$(at)/all/seed%/classifier.pt: $(sets)
	$(PY) train_classifier.py --train $(other)/labelled.csv $(few_learn)

# no label of the other set: thresholds are those of home, too
$(at)/home/seed%/classifier.pt: $(sets)
	$(PY) train_classifier.py --train $(home_labelled) --upsample $(count) --validation $(validation) $(learn)

# an image of home counts half as much as one of the few; or the two sets count as much as each other
$(at)/few-home/seed%/classifier.pt: $(few)
	$(PY) train_classifier.py --train $(few) $(home_labelled) --weights 1 0.5 $(few_learn)

$(at)/few-home-even/seed%/classifier.pt: $(few)
	$(PY) train_classifier.py --train $(few) $(home_labelled) --weights 10 1 $(few_learn)

$(few_edits)/seed%/classifier.pt: $(few) $(edits)
	$(PY) train_classifier.py --train $(few) $(edits) --weights 1 0.5 $(few_learn)

# home, or edits, first; then the few alone
$(at)/home-first/seed%/classifier.pt: $(at)/home/seed%/classifier.pt $(few)
	$(PY) train_classifier.py --train $(few) --init $< $(few_learn) $(second)

$(edits_first)/seed%/classifier.pt: $(few_edits)/seed%/classifier.pt
	$(PY) train_classifier.py --train $(few) --init $< $(few_learn) $(second)

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

# ---- reports and tables ----------------------------------------------------------------------------------
evaluate = $(PY) evaluate.py --model $< --device $(DEVICE)
card = $(call card_of,report_home.json report_other.json)
# models of two sets: what OTHER may be used for is not known here
licence := $(if $(OTHER),$(LICENCE),$(licence))
$(at)/%/report_home.json: $(at)/%/classifier.onnx
	$(evaluate) --test $(home_test) --predictions $(@D)/predictions_home.csv > $@.tmp && mv $@.tmp $@
	$(card)

$(at)/%/report_other.json: $(at)/%/classifier.onnx
	$(evaluate) --test $(other_test) --predictions $(@D)/predictions_other.csv > $@.tmp && mv $@.tmp $@
	$(card)

learnt = --learnt $(foreach c,$(1),$c=$(at)/$c/train.csv)
compare-sources: $(call reports_of,$(source_rows),$(SEEDS))
	$(PY) -m lib.evaluation.source_table $^ $(call learnt,$(source_rows)) --out -

results-sources: $(call reports_of,$(source_rows),$(SEEDS))
	@mkdir -p $(results)/$(place)
	$(PY) -m lib.evaluation.source_table $^ $(call learnt,$(source_rows)) --out $(results)/$(place)/table$(by_generator).md

learnt_domain := few=$(few) home=$(home_labelled) few-home=$(few),$(home_labelled) few-home-even=$(few),$(home_labelled) \
  few-edits$(by_generator)=$(few),$(edits) home-first=$(few),$(home_labelled) edits-first$(by_generator)=$(few),$(edits) \
  all=$(other)/labelled.csv
compare-domain: $(call reports_of,$(domain_rows),$(SEEDS))
	$(PY) -m lib.evaluation.source_table $^ --learnt $(learnt_domain) --out -

results-domain: $(call reports_of,$(domain_rows),$(SEEDS))
	@mkdir -p $(results)/$(place:sources%=domain%)
	$(PY) -m lib.evaluation.source_table $^ --learnt $(learnt_domain) --out $(results)/$(place:sources%=domain%)/table$(by_generator).md
