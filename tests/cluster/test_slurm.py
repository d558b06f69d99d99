"""A Slurm array of shards on a cluster of one node: `make test-cluster`.

Needs root and Debian's packages munge, slurmctld, slurmd and slurm-client; skipped without
them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import models
from commands import ENVIRONMENT, ROOT, fail, succeed
from needs import lacks

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
SEARCH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SLURM_CONF = """ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={other}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# as documented; places and the count are the test's
ARRAY = (ROOT / "docs/label.slurm").read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(environment for sbatch and squeue, folder) of a running cluster."""
    if os.geteuid() != 0 or not all(shutil.which(name, path=SEARCH) for name in NEEDED):
        lacks("needs root and apt-get install munge slurmctld slurmd slurm-client")
    folder = tmp_path_factory.mktemp("slurm")
    for above in (folder, *folder.parents[:-2]):
        above.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    ports = [free_port() for _ in range(2)]
    conf = SLURM_CONF.format(folder=folder, host=socket.gethostname().partition(".")[0],
                             port=ports[0], other=ports[1], cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(conf)
    environment = {**ENVIRONMENT, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": SEARCH}
    lines = [["munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
              f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
              f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"],
             ["slurmctld", "-D", "-i"],
             ["slurmd", "-D", "-N", socket.gethostname().partition(".")[0]]]
    started = []
    try:
        for line in lines:
            started.append(subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL))
            time.sleep(2)
        yield environment, folder
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)


def free_port():
    """A TCP port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_an_array_of_shards_is_the_whole(cluster, tmp_path):
    environment, folder = cluster
    models.classifier(tmp_path / "c.onnx")
    models.dataset(tmp_path, np.random.default_rng(0).integers(0, 6, (50, 4)) / 5, "unlabelled.csv")
    job = tmp_path / "label.slurm"
    job.write_text(ARRAY.replace(".venv/bin/python pseudo_label.py",
                                 f"{sys.executable} {ROOT}/pseudo_label.py"))
    sent = subprocess.run(["sbatch", "--wait", "--array=1-4", f"--output={folder}/%a.log", job],
                          cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=500)
    said = "".join(path.read_text() for path in sorted(folder.glob("*.log")))
    assert sent.returncode == 0, sent.stderr + said[-3000:]
    parts = sorted(tmp_path.glob("pseudo-*.csv"))
    assert [path.name for path in parts] == [f"pseudo-{i}of4.csv" for i in (1, 2, 3, 4)]
    succeed("-m lib.manifest", "merge", *parts, "--out", tmp_path / "merged.csv")
    succeed("pseudo_label.py", "--model", tmp_path / "c.onnx",
            "--images", tmp_path / "unlabelled.csv", "--out", tmp_path / "whole.csv")
    assert (tmp_path / "merged.csv").read_text() == (tmp_path / "whole.csv").read_text()
    parts[2].unlink()
    fail(3, "shard 3 of 4", "-m lib.manifest", "merge", *parts[:2], parts[3],
         "--out", tmp_path / "x.csv")
