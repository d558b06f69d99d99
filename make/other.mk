# A second data set with other people, other light and other cameras: rendered faces of another look, or OTHER=DIR with
# labelled.csv, validation.csv and test.csv of yours. Included after faces.mk.
other := $(or $(OTHER),data/$(PRESET)/faces-world)
other_test := $(other)/$(if $(OTHER),test,test_natural).csv
other_files := $(wildcard $(addprefix $(OTHER)/,labelled.csv validation.csv test.csv))
other_data := $(if $(OTHER),$(other_files),$(other)/.done)

data/$(PRESET)/faces-world/.done: | $(READY)
	$(PY) -m lib.datasets.rendered_faces --out $(@D) --look world --seed 7 --size $(FACES_SIZE_$(PRESET)) \
	  --device $(DEVICE) $(FACES_DATA_$(PRESET)) --unlabelled 0 --test 0 --pairs 0 --pairs-validation 0 --judge 0 \
	  --judge-validation 0
	@touch $@
