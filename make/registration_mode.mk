# What is done for one way to register faces: $(mode) is 2d or 3d. registration.mk includes this file once for each.
# (A recipe is expanded when it runs, so each target keeps the mode that was set when it was read.)
faces := $(POSES_DIR)/$(mode)
real := $(POSES_RUN)/real-$(mode)
reader := $(POSES_RUN)/reader-$(mode)
editor := $(POSES_RUN)/generators/$(variant)-$(mode)
synthetic := $(POSES_RUN)/synthetic$(by_generator)-$(mode)
$(faces)/% $(real)/% $(reader)/% $(editor)/% $(synthetic)/%: mode := $(mode)
$(faces)/% $(real)/% $(reader)/% $(editor)/% $(synthetic)/%: faces := $(faces)

$(faces)/%/manifest.csv: $(POSES_DIR)/.done | $(READY_FACES)
	$(PY) -m lib.faces.register $(POSES_DIR)/$*.csv --mode $(mode) --size $(POSES_SIZE_$(PRESET)) --out $(@D)

# real and synthetic: as many images, every level of every AU equally often (4.2.2)
$(real)/balanced.csv: $(faces)/training/manifest.csv
	@mkdir -p $(@D)
	$(PY) -m lib.balance $< --levels --count $(POSES_COUNT_$(PRESET)) --out $@

$(real)/seed%/classifier.pt: $(real)/balanced.csv $(faces)/validation/manifest.csv
	$(PY) train_classifier.py --train $< --validation $(faces)/validation/manifest.csv \
	  --out $@ --seed $* --device $(DEVICE) --resume $(POSES_HEAD) $(POSES_CLASSIFIER_$(PRESET))

$(reader)/seed1/classifier.pt: $(real)/balanced.csv $(faces)/validation/manifest.csv
	$(PY) train_classifier.py --train $< --validation $(faces)/validation/manifest.csv \
	  --out $@ --seed 1 --device $(DEVICE) --resume $(POSES_HEAD) $(POSES_READER_$(PRESET))

$(editor)/seed%/generator.pt: $(reader)/seed1/classifier.onnx
	$(PY) train_generator.py --arch $(ARCH) --train $(faces)/training/manifest.csv \
	  --validation $(faces)/validation/manifest.csv --reader $< --out $@ --seed $* --device $(DEVICE) --resume \
	  $(POSES_GENERATOR_$(PRESET)) $(if $(CONFIG),--config $(CONFIG))

$(synthetic)/synthetic/manifest.csv: $(editor)/seed$(GENERATOR_SEED)/generator.onnx
	$(PY) synthesize.py --model $< --source $(faces)/training/manifest.csv --recipe balanced \
	  --targets $(faces)/training/manifest.csv --count $(POSES_COUNT_$(PRESET)) --out $(@D) --sheet $(@D)/sheet.png --device $(DEVICE)

$(synthetic)/seed%/classifier.pt: $(synthetic)/synthetic/manifest.csv
	$(PY) train_classifier.py --train $< --validation $(faces)/validation/manifest.csv --out $@ --seed $* \
	  --device $(DEVICE) --resume $(POSES_HEAD) $(POSES_CLASSIFIER_$(PRESET))

# a pattern rule with two targets would make both at once
evaluate = $(PY) evaluate.py --model $< --test $(faces)/test/manifest.csv --by yaw pitch --of $(POSES_DIR)/test.csv \
  --device $(DEVICE) > $@.tmp && mv $@.tmp $@

$(real)/%/report.json: $(real)/%/classifier.onnx $(faces)/test/manifest.csv
	$(evaluate)
	$(call card_of,report.json)
	@echo 'report: $@' >&2

$(synthetic)/%/report.json: $(synthetic)/%/classifier.onnx $(faces)/test/manifest.csv
	$(evaluate)
	$(call card_of,report.json)
	@echo 'report: $@' >&2
