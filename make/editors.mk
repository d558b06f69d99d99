# make compare-editors: the same people, edited by every editor. Each line of AU_CELLS and EXPRESSION_CELLS is one
# training and one report (a cell); a killed run goes on where it was.
#   EDITOR_SEEDS="1 2"   generator seeds
include make/settings.mk
ARCH := $(EDITOR)
include make/faces.mk

EDITOR_SEEDS ?= 1 2
AU_CELLS := $(foreach a,warp-editor expression-manipulator ganimation stargan,$(foreach g,$(EDITOR_SEEDS),$a/seed$g))
EXPRESSION_CELLS := $(foreach a,stargan fexgan,$(foreach g,$(EDITOR_SEEDS),$a-expressions/seed$g))
of = $(run)/generators
pairs_expression := $(FACES_DIR)/pairs_expression.csv
expression_judge := $(run)/judge-expression/seed1000
identity := $(run)/identity/seed1000
FACES_PAIRS_EXPRESSION_smoke := 14
FACES_PAIRS_EXPRESSION_quick := 210
FACES_PAIRS_EXPRESSION_long := 210
FACES_PAIRS_EXPRESSION_paper := 700

.PHONY: compare-editors $(AU_CELLS)

# ---- AUs -------------------------------------------------------------------------------------------------
# the model of a cell is made as for faces-ARCH; its report here also says whether edits keep the person
$(AU_CELLS):
	$(MAKE) -f make/experiment.mk SET=faces ARCH=$(@D) GENERATOR_SEED=$(patsubst seed%,%,$(@F)) generator

au_reports := $(AU_CELLS:%=$(of)/%/report_aus.json)
$(au_reports): $(of)/%/report_aus.json: % $(identity)/classifier.onnx
	$(PY) evaluate.py --model $(@D)/generator.onnx --pairs $(FACES_DIR)/pairs.csv \
	  --judge $(judge)/classifier.onnx --judge-report $(judge)/report.json --identity $(identity)/classifier.onnx \
	  --device $(DEVICE) > $@.tmp && mv $@.tmp $@

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
first = $(firstword $(EDITOR_SEEDS))
sheet = $(PY) -m lib.evaluation.edit_sheet --images $(test) --models
compare-editors: $(au_reports) $(expression_reports)
	$(sheet) $(patsubst %,$(of)/%/generator.onnx,$(filter %/seed$(first),$(AU_CELLS))) --out $(of)/aus.png
	$(sheet) $(patsubst %,$(of)/%/generator.onnx,$(filter %/seed$(first),$(EXPRESSION_CELLS))) \
	  --out $(of)/expressions.png
	$(PY) evaluate.py --compare $^
