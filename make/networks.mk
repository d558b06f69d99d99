# Niinuma et al. 2022, 4.1: a VGG16 for each AU, which tells six levels apart; or another network of torchvision.
#   make -f make/networks.mk networks NETWORKS="vgg16 resnet18" NETWORK_AUS="AU12 AU25"
# At 224 pixels VGG16 takes 93 GFLOP for an image that it learns from. So all presets but `paper` show that it works, with
# few images and few steps; `paper` trains it as published, from the weights of ImageNet.
include make/settings.mk

.PHONY: networks
networks:

include make/faces.mk

NETWORKS ?= vgg16
NETWORK_AUS ?= AU12
space := $() $()
of_aus := $(subst $(space),-,$(strip $(NETWORK_AUS)))
FEW_smoke := --fractions 0.2 0.1 0.7
FEW_quick := --fractions 0.07 0.03 0.9
FEW_long := --fractions 0.2 0.05 0.75
TEST_quick := --stride 9
TEST_long := --stride 7
TRAIN_smoke := --size 32 --max-steps 2 --batch 8
TRAIN_quick := --size 224 --max-steps 40 --batch 8
TRAIN_long := --size 224 --max-steps 400 --batch 16
TRAIN_paper := --size 224 --epochs 10 --pretrained imagenet

at := $(run)/networks
networks: $(NETWORKS:%=$(at)/%/seed$(SEED)/report-$(of_aus).json)

ifeq ($(FEW_$(PRESET)),)
parts := $(labelled_rows) $(validation) $(or $(test_natural),$(test))
$(at)/few/.done: $(data) $(merged) | $(READY)
	@mkdir -p $(@D) && touch $@
else
parts := $(addprefix $(at)/few/,labelled.csv validation.csv test.csv)
$(at)/few/.done: $(data) $(merged) | $(READY)
	$(PY) -m lib.datasets.split $(labelled_rows) --out $(@D) $(FEW_$(PRESET))
	@touch $@
endif

# one model an AU: the paper's head (cross-entropy of six levels), dropout, optimiser and rate
$(at)/%/seed$(SEED)/.trained-$(of_aus): $(at)/few/.done
	$(PY) train_classifier.py --arch $* --train $(word 1,$(parts)) --validation $(word 2,$(parts)) --tasks au_level \
	  --losses au_level=ce --dropout 0.5 --optimiser adam --learning-rate 5e-5 --aus $(NETWORK_AUS) --per-au \
	  --seed $(SEED) --device $(DEVICE) --resume --out '$(@D)/{au}/classifier.pt' $(TRAIN_$(PRESET))
	@touch $@

models = $(NETWORK_AUS:%=$(at)/$*/seed$(SEED)/%/classifier.onnx)
$(at)/%/seed$(SEED)/.exported-$(of_aus): $(at)/%/seed$(SEED)/.trained-$(of_aus)
	$(foreach model,$(models),$(PY) export_onnx.py $(model:.onnx=.pt) --out $(model) &&) touch $@

$(at)/%/seed$(SEED)/report-$(of_aus).json: $(at)/%/seed$(SEED)/.exported-$(of_aus)
	$(PY) evaluate.py --model $(models) --test $(word 3,$(parts)) $(TEST_$(PRESET)) --device $(DEVICE) > $@.tmp && mv $@.tmp $@
	for model in $(models); do $(PY) -m lib.model_card $$model --reports $@ \
	  $(if $(licence),--licence '$(subst ','\'',$(licence))'); done
	@echo 'report: $@' >&2
