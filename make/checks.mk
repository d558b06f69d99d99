# What stands outside `make test`: speed as ratios, faults, a GPU, a cluster, other hosts.
.PHONY: bench test-faults gpu-check test-cluster test-hosts

bench: $(READY)  # ten minutes on 2 cores; one Markdown table on stdout
	$(PY) -m tests.bench

# damaged files, disks that fill, smoke targets that are killed (KILLS=40) or run twice at once
test-faults: $(READY)
	$(ALL_OF) -W ignore tests/faults

# nine minutes on a machine with a GPU: training, export and speed of every architecture, in one JSON and one table
gpu-check: $(READY)
	$(PY) -m tests.gpu --device cuda --out runs/gpu-check.json

# an array of shards under a Slurm of one node, from Debian's packages; as root
test-cluster: $(READY)
	@command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] || \
	  { echo 'first: apt-get install --no-install-recommends munge slurmctld slurmd slurm-client' >&2; exit 3; }
	$(ALL_OF) tests/cluster

# the same numbers in Node (MODEL=classifier.onnx measures that one); npm brings 240 MB, and runs none of their scripts
test-hosts: .venv/node/node_modules/onnxruntime-node $(READY)
	$(ALL_OF) tests/hosts

.venv/node/node_modules/onnxruntime-node:
	npm install --ignore-scripts --no-audit --no-fund --prefix .venv/node onnxruntime-node@1.22
