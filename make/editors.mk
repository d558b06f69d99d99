# make compare-editors: the same people, edited by every editor. Each line of AU_CELLS and EXPRESSION_CELLS is one
# training and one report (a cell); a killed run goes on where it was.
#   EDITOR_SEEDS="1 2"   generator seeds
include make/settings.mk
ARCH := $(EDITOR)
include make/faces.mk

EDITOR_SEEDS ?= 1 2
AU_CELLS := $(foreach a,$(EDITORS),$(foreach g,$(EDITOR_SEEDS),$a/seed$g))
# the same editors, asked for more of what they do less of (lib.strength, by pairs of other people)
STRONG_CELLS := $(foreach a,$(EDITORS),$(foreach g,$(EDITOR_SEEDS),$a-strong/seed$g))
EXPRESSION_CELLS := $(foreach a,stargan fexgan,$(foreach g,$(EDITOR_SEEDS),$a-expressions/seed$g))
of = $(run)/generators
reports := report.json $(if $(test_natural),report_natural.json)
pairs_expression := $(FACES_DIR)/pairs_expression.csv
expression_judge := $(run)/judge-expression/seed1000
identity := $(run)/identity/seed1000
FACES_PAIRS_EXPRESSION_smoke := 14
FACES_PAIRS_EXPRESSION_quick := 210
FACES_PAIRS_EXPRESSION_long := 210
FACES_PAIRS_EXPRESSION_paper := 700

.PHONY: compare-editors results-editors always

# ---- AUs -------------------------------------------------------------------------------------------------
# the model of a cell is made as for faces-ARCH, by a make that knows what it depends on and writes it only where it is
# out of date: what is new here is the report. The first cell also makes what all learn from.
au_models := $(patsubst %,$(of)/%/generator.onnx,$(AU_CELLS) $(STRONG_CELLS))
$(au_models): $(of)/%/generator.onnx: always | $(data)
	$(MAKE) -s -f make/experiment.mk SET=faces ARCH=$(patsubst %-strong,%,$(*D)) \
	  GENERATOR_SEED=$(patsubst seed%,%,$(*F)) $@
$(wordlist 2,$(words $(au_models)),$(au_models)): | $(firstword $(au_models))

$(judge)/report.json: $(judge)/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test) --predictions $(@D)/predictions.csv --device $(DEVICE) > $@.tmp \
	  && mv $@.tmp $@

# its report here also says whether edits keep the person
au_reports := $(patsubst %,$(of)/%/report_aus.json,$(AU_CELLS) $(STRONG_CELLS))
$(au_reports): %/report_aus.json: %/generator.onnx $(judge)/classifier.onnx $(judge)/report.json \
  $(identity)/classifier.onnx
	$(PY) evaluate.py --model $< --pairs $(FACES_DIR)/pairs.csv --judge $(judge)/classifier.onnx \
	  --judge-report $(judge)/report.json --identity $(identity)/classifier.onnx --device $(DEVICE) > $@.tmp && mv $@.tmp $@

# ---- expressions -----------------------------------------------------------------------------------------
$(pairs_expression): $(data)
	$(PY) -m lib.datasets.rendered_faces --out $(FACES_DIR) --size $(FACES_SIZE_$(PRESET)) --device $(DEVICE) \
	  $(FACES_DATA_$(PRESET)) --pairs-expression $(FACES_PAIRS_EXPRESSION_$(PRESET))

# a judge of its own: AUs beside expressions would cost it some of both. It learns from people of no other set.
$(expression_judge)/classifier.pt: $(data) | $(READY)
	$(PY) train_classifier.py --arch judge --tasks expression --train $(unlabelled:.csv=_truth.csv) \
	  --validation $(validation) --out $@ --seed 1000 --augment faces --device $(DEVICE) --resume $(FACES_JUDGE_$(PRESET))

$(EXPRESSION_CELLS:%=$(of)/%/generator.pt): $(of)/%/generator.pt: $(data) | $(READY)
	$(PY) train_generator.py --arch $(patsubst %-expressions/,%,$(dir $*)) --tasks expression --train $(labelled) \
	  --validation $(validation) --out $@ --seed $(patsubst seed%,%,$(notdir $*)) --device $(DEVICE) --resume \
	  $(FACES_OTHER_$(PRESET))

expression_reports := $(EXPRESSION_CELLS:%=$(of)/%/report_expressions.json)
$(expression_reports): $(of)/%/report_expressions.json: $(of)/%/generator.onnx $(expression_judge)/classifier.onnx \
  $(pairs_expression) $(identity)/classifier.onnx
	$(PY) evaluate.py --model $< --pairs $(pairs_expression) --judge $(expression_judge)/classifier.onnx \
	  --identity $(identity)/classifier.onnx --device $(DEVICE) > $@.tmp && mv $@.tmp $@

# ---- what both need --------------------------------------------------------------------------------------
$(identity)/classifier.pt: $(data) | $(READY)
	$(PY) -m lib.evaluation.identity --train $(FACES_DIR)/judge.csv $(labelled) --validation $(validation) --out $@ \
	  --seed 1000 --device $(DEVICE)

%/classifier.onnx: %/classifier.pt
	$(PY) export_onnx.py $< --out $@

%/generator.onnx: %/generator.pt
	$(PY) export_onnx.py $< --out $@

# ---- tables and sheets -----------------------------------------------------------------------------------
# a sheet shows the first generator of each editor, as trained
models_of_first = $(filter %/seed$(firstword $(EDITOR_SEEDS))/generator.onnx,$(1:%=$(of)/%/generator.onnx))
sheets := $(of)/aus.png $(of)/expressions.png
$(of)/aus.png: $(call models_of_first,$(AU_CELLS))
$(of)/expressions.png: $(call models_of_first,$(EXPRESSION_CELLS))
$(sheets):
	$(PY) -m lib.evaluation.edit_sheet --images $(test) --models $^ --out $@

compare-editors: $(au_reports) $(expression_reports) $(sheets)
	$(PY) evaluate.py --compare $(au_reports) $(expression_reports)

results-editors: compare-editors  # reports and sheets, to commit
	@mkdir -p $(results)/generators
	cd $(of) && cp --parents $(patsubst $(of)/%,%,$(au_reports) $(expression_reports) $(sheets)) \
	  $(CURDIR)/$(results)/generators

# ---- what Niinuma et al. ask of GANimation (2022) --------------------------------------------------------
# a cell is a generator with one setting changed, the classifier that learns from its edits (ICC), and the report on
# the edits (PSNR, SSIM). The preset's own setting is the cell without a name.
#   make idiosyncratic      with and without the loss on true images of the same person (4.4, Table 3)
#   make sweep-ganimation   the weights of the adversarial, expression and identity losses (4.3, Figure 3), coarse
#   make discriminators     GANimation, StarGAN, and their discriminators as classifiers (4.9, Table 7)
WEIGHTS := adversarial-0.03 adversarial-0.3 condition-0.3 condition-3 cycle-1.5 cycle-15
# without true images only the discriminator and the cycle teach: both have their say at every step, which `quick` gives
# them at every fourth and eighth, and AUs weigh more, towards the paper's 160. (So the two cells differ in this, too.)
# Else nothing is learnt: with w_condition=1 the edit is the input painted anew, with w_mask=0 it is the input
CONFIG_no-pairs := w_pair=0 shares=single=1,permuted=1 critic_every=1 cycle_every=1 w_condition=20
weighted = $(if $(CONFIG_$1),$(CONFIG_$1),w_$(subst -,=,$1))

G := g$(GENERATOR_SEED)
.PHONY: idiosyncratic sweep-ganimation discriminators
ganimation_reports = $(foreach v,$1,$(run)/ganimation$(v)-$(G)/seed$(SEED)/report.json)

$(call ganimation_reports,-%):
	$(MAKE) -f make/experiment.mk SET=faces ARCH=ganimation VARIANT=$* CONFIG="$(call weighted,$*)" synthetic
# both reports by one make
$(foreach r,$(reports),$(run)/%-$(G)/seed$(SEED)/$r):
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$* synthetic

idiosyncratic: $(run)/ganimation-$(G)/seed$(SEED)/report.json $(call ganimation_reports,-no-pairs)
	$(PY) evaluate.py --compare $^ \
	  $(foreach v,ganimation ganimation-no-pairs,$(of)/$v/seed$(GENERATOR_SEED)/report.json)

sweep-ganimation: $(run)/ganimation-$(G)/seed$(SEED)/report.json $(call ganimation_reports,$(WEIGHTS:%=-%))
	$(PY) evaluate.py --compare $^

# D_exp: what a discriminator reads, beside the classifiers that learn from its generator's edits
d_exp := $(foreach a,ganimation stargan,$(run)/$a-discriminator-$(G)/seed$(SEED))
compared := $(foreach a,ganimation stargan,$(run)/$a-$(G)/seed$(SEED)) $(d_exp)

$(d_exp:%=%/classifier.onnx): $(run)/%-discriminator-$(G)/seed$(SEED)/classifier.onnx: $(run)/%-$(G)/seed$(SEED)/report.json
	@mkdir -p $(@D)
	$(PY) export_onnx.py $(of)/$*/seed$(GENERATOR_SEED)/generator.pt --as classifier --validation $(validation) --out $@

$(d_exp:%=%/report.json): %/report.json: %/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test) --device $(DEVICE) > $@.tmp && mv $@.tmp $@

$(d_exp:%=%/report_natural.json): %/report_natural.json: %/classifier.onnx
	$(PY) evaluate.py --model $< --test $(test_natural) --device $(DEVICE) > $@.tmp && mv $@.tmp $@

discriminators: $(foreach r,$(reports),$(compared:%=%/$r))
	$(PY) evaluate.py --compare $^

# ---- what Siddiqui shows of FExGAN (2022) ----------------------------------------------------------------
#   make fexgan-table   the discriminator's four accuracies (Table 1), on images learnt from and of held-out people;
#                       sheets of faces from noise, of neutral faces to each expression, and mixed (Figures 4, 5, 6)
# As many images are generated as there are real ones: each real image, towards an expression drawn evenly.
siddiqui := $(of)/fexgan-expressions
siddiqui_cells := $(EDITOR_SEEDS:%=$(siddiqui)/seed%)
siddiqui_figures := $(foreach c,$(siddiqui_cells),$(foreach f,4 5 6,$c/figure$f/manifest.csv))
learnt := $(labelled_rows)
held_out := $(or $(test_natural),$(test))

.PHONY: fexgan-table results-fexgan
$(siddiqui)/%/discriminator/classifier.onnx: $(siddiqui)/%/generator.pt
	@mkdir -p $(@D)
	$(PY) export_onnx.py $< --as classifier --out $@

$(siddiqui)/%/sampler.onnx: $(siddiqui)/%/generator.pt
	$(PY) export_onnx.py $< --as sampler --out $@

made_of = $(PY) synthesize.py --model $< --out $(@D) --device $(DEVICE) --source
$(siddiqui)/%/discriminator/learnt/manifest.csv: $(siddiqui)/%/generator.onnx $(merged)
	$(made_of) $(learnt) --recipe expressions --sources all --count $$($(PY) -m lib.manifest count $(learnt))

$(siddiqui)/%/discriminator/held_out/manifest.csv: $(siddiqui)/%/generator.onnx
	$(made_of) $(held_out) --recipe expressions --sources all --count $$($(PY) -m lib.manifest count $(held_out))

# the judge is the classifier that also reads edits; it has seen no generated image
reads = $(PY) evaluate.py --device $(DEVICE) --model
by_judge = $(reads) $(expression_judge)/classifier.onnx
$(siddiqui)/%/discriminator/table.md: $(siddiqui)/%/discriminator/classifier.onnx \
  $(siddiqui)/%/discriminator/learnt/manifest.csv $(siddiqui)/%/discriminator/held_out/manifest.csv \
  $(expression_judge)/classifier.onnx
	$(reads) $< --test $(learnt) > $(@D)/real_learnt.json
	$(reads) $< --test $(held_out) > $(@D)/real_held_out.json
	$(reads) $< --test $(@D)/learnt/manifest.csv > $(@D)/generated_learnt.json
	$(reads) $< --test $(@D)/held_out/manifest.csv > $(@D)/generated_held_out.json
	$(by_judge) --test $(learnt) > $(@D)/judge_real_learnt.json
	$(by_judge) --test $(held_out) > $(@D)/judge_real_held_out.json
	$(by_judge) --test $(@D)/learnt/manifest.csv > $(@D)/judge_generated_learnt.json
	$(by_judge) --test $(@D)/held_out/manifest.csv > $(@D)/judge_generated_held_out.json
	$(PY) -m lib.evaluation.discriminator_table $(@D) --out $@

few = --count 48 --sheet $(@D)/sheet.png
$(siddiqui)/%/figure4/manifest.csv: $(siddiqui)/%/sampler.onnx
	$(PY) synthesize.py --model $< --out $(@D) --device $(DEVICE) --recipe expressions $(few)

$(siddiqui)/%/figure5/manifest.csv: $(siddiqui)/%/generator.onnx
	$(made_of) $(held_out) --recipe expressions $(few)

$(siddiqui)/%/figure6/manifest.csv: $(siddiqui)/%/generator.onnx
	$(made_of) $(held_out) --recipe mix $(few)

fexgan-table: $(siddiqui_cells:%=%/discriminator/table.md) $(siddiqui_figures)
	$(PY) -m lib.evaluation.discriminator_table $(siddiqui_cells:%=%/discriminator)

results-fexgan: fexgan-table  # reports and sheets, to commit
	cd $(of) && for cell in $(siddiqui_cells:$(of)/%=%); do mkdir -p $(CURDIR)/$(results)/generators/$$cell/discriminator \
	  && cp $$cell/discriminator/*_*.json $(CURDIR)/$(results)/generators/$$cell/discriminator \
	  && for f in 4 5 6; do cp $$cell/figure$$f/sheet.png $(CURDIR)/$(results)/generators/$$cell/figure$$f.png; done; done
