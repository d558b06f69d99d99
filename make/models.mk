# The models that come with the project. runs/models/reader.md says what the reader can do and what it cannot.
# The Makefile calls it, one at a time.
#   make -f make/models.mk reader | editor | photos-report | page | astronaut | reader-groups
include make/settings.mk

READER_FACES ?= data/reader
READER_COUNT ?= 15000
READER_MOST ?= 4000
READER ?= runs/models/reader.onnx
READER_VALIDATION ?= 900
.PHONY: reader

reader: | $(READY_FACES)
	$(PY) -m lib.datasets.rendered_faces --out $(READER_FACES) --size 96 --look world --framing tight --pose 28 \
	  --labelled 0 --unlabelled $(READER_COUNT) --validation $(READER_VALIDATION) --test 0 --test-natural 0 --pairs 0 \
	  --pairs-validation 0 --judge 0 --judge-validation 0 --people 2000 --seed 21 --device $(DEVICE)
	$(PY) -m lib.faces.reader --train $(READER_FACES)/unlabelled_truth.csv --validation $(READER_FACES)/validation.csv \
	  --most $(READER_MOST) --out $(READER)

# ---- the editor of photographs ---------------------------------------------------------------------------
# It begins as the editor of faces-em (PRESET=quick, seed 1), and learns on from people as the world has them: sessions in
# which only the expression changes, with the true movement of the skin.
EDITOR_FACES ?= data/editor
EDITOR_COUNT ?= 6000
EDITOR_PEOPLE ?= 400
EDITOR_VALIDATION ?= 300
EDITOR_IMAGES ?= 4800
EDITOR_BEGIN ?= runs/quick/faces/generators/warp-editor/seed1/generator.pt
EDITOR_RUN ?= runs/editor
PHOTO_EDITOR ?= runs/models/editor.onnx
# edits of photographs come out weaker than those of rendered faces; chosen on 45 photographs
EDITOR_STRENGTH ?= --strength 1.5 --of AU04=2.5 AU05=2 AU06=1.8 AU07=0.7 AU12=1.8 AU23=2
.PHONY: editor judges photos-report

$(EDITOR_BEGIN):
	$(MAKE) PRESET=quick faces-generator

editor: $(EDITOR_BEGIN) | $(READY_FACES)
	$(PY) -m lib.datasets.rendered_faces --out $(EDITOR_FACES) --size 80 --look world --behaviour still --pose 20 \
	  --labelled $(EDITOR_COUNT) --people $(EDITOR_PEOPLE) --unlabelled 0 --validation $(EDITOR_VALIDATION) --test 0 \
	  --test-natural 0 --pairs 0 --pairs-validation 0 --judge 0 --judge-validation 0 --seed 31 --device $(DEVICE)
	$(PY) train_generator.py --arch warp-editor --preset photographs --init $(EDITOR_BEGIN) --size 64 \
	  --train $(EDITOR_FACES)/labelled.csv --validation $(EDITOR_FACES)/validation.csv --epoch-images $(EDITOR_IMAGES) \
	  --reader $(READER) --out $(EDITOR_RUN)/editor.pt --seed 1 --device $(DEVICE) --resume
	$(PY) export_onnx.py $(EDITOR_RUN)/editor.pt --out $(EDITOR_RUN)/editor.onnx
	$(PY) -m lib.faces.ship $(EDITOR_RUN)/editor.onnx $(EDITOR_STRENGTH) --out $(PHOTO_EDITOR) \
	  --train $(EDITOR_FACES)/labelled.csv

# ---- how well both do on photographs ---------------------------------------------------------------------
# PHOTOS: a folder with photos.csv (path, expression). The judges are others' networks (MIT), and teach nothing here.
PHOTOS ?= photos
JUDGES := data/judges/node_modules/@vladmandic/face-api/model
PHOTOS_OUT ?= runs/photos
PHOTOS_LEVEL ?= 0.8

$(JUDGES)/face_expression_model-weights_manifest.json:
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix data/judges @vladmandic/face-api@1.7.15 >&2

judges: $(JUDGES)/face_expression_model-weights_manifest.json

photos-report: $(JUDGES)/face_expression_model-weights_manifest.json | $(READY_FACES)
	mkdir -p $(PHOTOS_OUT)
	$(PY) -m lib.faces.photos_report --photos $(PHOTOS)/photos.csv --reader $(READER) --editor $(PHOTO_EDITOR) \
	  --judges $(JUDGES) --level $(PHOTOS_LEVEL) --sheet $(PHOTOS_OUT)/sheet.png > $(PHOTOS_OUT)/report.json.tmp
	mv $(PHOTOS_OUT)/report.json.tmp $(PHOTOS_OUT)/report.json
	@echo 'report: $(PHOTOS_OUT)/report.json' >&2

# ---- a page with sliders ---------------------------------------------------------------------------------
# PAGE: a folder that any static server can host; it runs both models in the browser (onnxruntime-web, MIT)
PAGE ?= runs/page
ORT := data/page/node_modules/onnxruntime-web/dist
.PHONY: page

$(ORT)/ort.wasm.min.mjs:
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix data/page onnxruntime-web@1.30.0 >&2

page: $(ORT)/ort.wasm.min.mjs | $(READY_FACES)
	mkdir -p $(PAGE)/ort
	cp page/* $(PHOTO_EDITOR) $(PHOTO_EDITOR:.onnx=.json) $(READER) $(READER:.onnx=.json) $(PAGE)
	cp $(ORT)/ort.wasm.min.mjs $(ORT)/ort-wasm-simd-threaded.mjs $(ORT)/ort-wasm-simd-threaded.wasm $(PAGE)/ort
	$(PY) -m lib.faces.mesh_graph --out $(PAGE)/mesh.onnx
	@echo 'page: $(PAGE); look at it with $(PY) -m http.server --directory $(PAGE)' >&2

# ---- the picture of README, and the reader's error by groups of people -----------------------------------
GROUPS ?= 300
.PHONY: astronaut reader-groups

astronaut: | $(READY_FACES)
	$(PY) -m lib.faces.showcase --editor $(PHOTO_EDITOR) --out docs/astronaut.jpg

reader-groups: | $(READY)
	mkdir -p $(PHOTOS_OUT)
	$(PY) -m lib.faces.groups --reader $(READER) --people $(GROUPS) > $(PHOTOS_OUT)/groups.json.tmp
	mv $(PHOTOS_OUT)/groups.json.tmp $(PHOTOS_OUT)/groups.json
