# make open-problem: the open problem of Richer 2018. A discriminator that reads AUs, or valence and arousal, is as
# good as the same network as a plain classifier; one that reads both lost its AUs (F1 0.80 -> 0.25). Each line of
# `open` is a training and a report for each seed of SEEDS (a cell); a killed run goes on where it was.
RICHER_AUS := AU01 AU02 AU04 AU06 AU12 AU15 AU20 AU25
OPEN_DATA_smoke := --labelled 300 --people 20 --validation 90 --test-natural 120
OPEN_DATA_quick := --labelled 10000 --people 400 --validation 600 --test-natural 2000
OPEN_DATA_long := $(OPEN_DATA_quick)
OPEN_DATA_paper := --labelled 100000 --people 2000 --validation 2000 --test-natural 20000
OPEN_SIZE_smoke := 32
OPEN_SIZE_quick := 64
OPEN_SIZE_long := 64
OPEN_SIZE_paper := 96
# images of a batch, batches of real images, and the network that is classifier and discriminator
OPEN_BATCH := 64
OPEN_STEPS_smoke := 20
OPEN_STEPS_quick := 600
OPEN_STEPS_long := 3000
OPEN_STEPS_paper := 30000
# a tenth of the discriminator's images: it learns at every second step, so 2 x steps x batch / 10
OPEN_EPOCH_smoke := 256
OPEN_EPOCH_quick := 7680
OPEN_EPOCH_long := 38400
OPEN_EPOCH_paper := 384000
OPEN_NETWORK_smoke := tiny
OPEN_NETWORK_quick := compact
OPEN_NETWORK_long := compact
OPEN_NETWORK_paper := resnet18
G_WIDTH_smoke := 8
G_WIDTH_quick := 8
G_WIDTH_long := 16
G_WIDTH_paper := 48

open_data := data/$(PRESET)/richer
open_run := runs/$(PRESET)/richer
open_results := runs/results/$(PRESET)/richer
open := plain-au plain-va d-au d-va joint-published joint-ours
# from published to ours, one change less each
open_without := joint-shared joint-guessed joint-statistics joint-weights
# the published recipe for one task alone: what its joint form falls from
open_published := single-au-published single-va-published
open_reports = $(foreach c,$(1),$(foreach s,$(SEEDS),$(open_run)/$c/seed$s/report.json))
# what results-open-problem copies: also RESULTS_OF='$(open_without) $(open_published)' SEEDS=1,
# RESULTS_OF='$(grid)' SEEDS=1
RESULTS_OF ?= $(open)
.PHONY: open-problem open-problem-why results-open-problem

$(open_data)/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --size $(OPEN_SIZE_$(PRESET)) --device $(DEVICE) --unlabelled 0 \
	  --test 0 --pairs 0 --pairs-validation 0 --judge 0 --judge-validation 0 --seed 3 $(OPEN_DATA_$(PRESET))
	@touch $@

open_seed = --seed $(patsubst seed%,%,$(lastword $(subst /, ,$(@D)))) --device $(DEVICE) --resume
open_sets = --train $(open_data)/labelled.csv --validation $(open_data)/validation.csv --out $@
plain = $(PY) train_classifier.py --arch $(OPEN_NETWORK_$(PRESET)) $(open_sets) --aus $(RICHER_AUS) --batch $(OPEN_BATCH) \
  --max-steps $(OPEN_STEPS_$(PRESET)) --augment faces --optimiser adam --schedule cosine --ema 0.99 --patience 99 $(open_seed)
published = $(PY) train_generator.py --arch categorical-gan $(how)
ours = $(PY) train_generator.py --arch multitask-gan $(how)
how = $(open_sets) --aus $(RICHER_AUS) --batch $(OPEN_BATCH) --ema 0.99 \
  --epochs 10 --decay-epochs 9 --epoch-images $(OPEN_EPOCH_$(PRESET)) $(open_seed)
same = size=$(OPEN_SIZE_$(PRESET)) discriminator=$(OPEN_NETWORK_$(PRESET)) g_width=$(G_WIDTH_$(PRESET)) learning_rate=1e-3 d_rate=1 \
  update_rate=1 dropout=0.2 augment=faces

$(open_run)/plain-au/%/classifier.pt: $(open_data)/.done
	$(plain) --tasks au_present --losses au_present=bce

$(open_run)/plain-va/%/classifier.pt: $(open_data)/.done
	$(plain) --tasks va --losses va=mse

$(open_run)/d-au/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au --config $(same)

$(open_run)/d-va/%/generator.pt: $(open_data)/.done
	$(ours) --tasks va --config $(same)

$(open_run)/joint-ours/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au va --config $(same)

$(open_run)/single-au-published/%/generator.pt: $(open_data)/.done
	$(published) --preset paper --tasks au --config $(same)

$(open_run)/single-va-published/%/generator.pt: $(open_data)/.done
	$(published) --preset paper --tasks va --config $(same)

$(open_run)/joint-published/%/generator.pt: $(open_data)/.done
	$(published) --preset joint --tasks au va --config $(same)

# ours, but one last stage for all tasks; but generated images have guessed labels; but batch norm's statistics are of
# both; but published task weights
$(open_run)/joint-shared/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au va --config $(same) stages=shared

$(open_run)/joint-guessed/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au va --config $(same) fake_labels=paper

$(open_run)/joint-statistics/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au va --config $(same) statistics=both

$(open_run)/joint-weights/%/generator.pt: $(open_data)/.done
	$(ours) --tasks au va --config $(same) w_au=0.333 w_va=0.167 w_real=0.333

$(open_run)/%/classifier.onnx: $(open_run)/%/generator.pt
	$(PY) export_onnx.py $< --as classifier $(if $(findstring -va,$*),,--validation $(open_data)/validation.csv) \
	  --parity-images $(open_data)/validation.csv --out $@

$(open_run)/%/report.json: $(open_run)/%/classifier.onnx
	$(PY) evaluate.py --model $< --test $(open_data)/test_natural.csv --device $(DEVICE) > $@.tmp && mv $@.tmp $@

# ---- learning rate x update rate u x label a of generated images, coarse (tables 3.13-3.26) --------------------
# the published networks and losses at 32 px; a cell is a point of the grid and a seed, a row of the table
GRID_RATES ?= 0.0001 0.001
GRID_UPDATES ?= 1 2
GRID_ALPHAS ?= 0.9 1.0
# steps of the discriminator, of which there is one in u + 1
GRID_STEPS_smoke := 12
GRID_STEPS_quick := 200
GRID_STEPS_long := 3000
GRID_STEPS_paper := 30000
grid := $(foreach t,au va joint,$(foreach l,$(GRID_RATES),$(foreach u,$(GRID_UPDATES),$(foreach a,$(GRID_ALPHAS),\
  grid-$t-$l-u$u-a$a))))
# 1 - CCC in place of the published MSE, at one point each
grid += $(foreach t,va joint,grid-$t-$(lastword $(GRID_RATES))-u$(firstword $(GRID_UPDATES))-a$(firstword $(GRID_ALPHAS))-ccc)
# of grid-va-0.0001-u5-a0.9-ccc: va, 0.0001, 5, 0.9, ccc
of_point = $(word $(1),$(subst -, ,$(patsubst grid-%,%,$(notdir $(patsubst %/,%,$(dir $(@D)))))))
.PHONY: open-problem-grid

$(open_run)/grid-%/generator.pt: $(open_data)/.done
	$(PY) train_generator.py --arch categorical-gan --preset $(if $(filter joint,$(call of_point,1)),joint,paper) \
	  --tasks $(patsubst joint,au va,$(call of_point,1)) $(open_sets) --aus $(RICHER_AUS) --batch $(OPEN_BATCH) --ema 0.99 \
	  --size 32 --epochs 10 --decay-epochs 0 $(open_seed) \
	  --epoch-images $$(($(GRID_STEPS_$(PRESET)) * ($(patsubst u%,%,$(call of_point,3)) + 1) * $(OPEN_BATCH) / 10)) --config \
	  learning_rate=$(call of_point,2) update_rate=$(patsubst u%,%,$(call of_point,3)) alpha=$(patsubst a%,%,$(call of_point,4)) \
	  $(addprefix va_loss=,$(call of_point,5))

grid_cells := $(foreach c,$(grid),$(foreach s,$(firstword $(SEEDS)),$(open_run)/$c/seed$s))
open-problem-grid: $(grid_cells:%=%/report.json)
	$(PY) -m lib.evaluation.loss_curves $(grid_cells:%=%/history.jsonl) --out $(open_run)/grid.png
	$(PY) evaluate.py --compare $^

curves = $(foreach c,$(filter d-% joint-%,$(1)),$(open_run)/$c/seed$(firstword $(SEEDS))/history.jsonl)
open-problem: $(call open_reports,$(open))
	$(PY) -m lib.evaluation.loss_curves $(call curves,$(open)) --out $(open_run)/curves.png
	$(PY) evaluate.py --compare $^

open-problem-why: $(call open_reports,joint-ours joint-published $(open_without) $(open_published))
	$(PY) evaluate.py --compare $^

results-open-problem: $(call open_reports,$(RESULTS_OF))  # the reports, to commit
	@mkdir -p $(open_results)
	cd $(open_run) && cp --parents $(patsubst $(open_run)/%,%,$^) $(patsubst $(open_run)/%,%,$(wildcard $(open_run)/*.png)) \
	  $(CURDIR)/$(open_results)
	for run in $(^D); do sheet=$$(ls $$run/epochs/*.png 2>/dev/null | tail -1); \
	  [ -z "$$sheet" ] || cp $$sheet $(open_results)/$${run#$(open_run)/}/sheet_100.png; done
