# What stands outside `make test`: speed as ratios, and faults.
.PHONY: bench test-faults gpu-check

bench: $(READY)  # ten minutes on 2 cores; one Markdown table on stdout
	$(PY) -m tests.bench

# damaged files, disks that fill, smoke targets that are killed (KILLS=40) or run twice at once
test-faults: $(READY)
	$(PY) -m pytest -q -W ignore tests/faults

# nine minutes on a machine with a GPU: training, export and speed of every architecture, in one JSON and one table
gpu-check: $(READY)
	$(PY) -m tests.gpu --device cuda --out runs/gpu-check.json
