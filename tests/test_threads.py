"""How many threads an exported model takes."""

import models
import pytest

from lib import onnx_runtime
from lib.onnx_runtime import Model


@pytest.mark.parametrize(
    "text, threads",
    [("3", 3), ("1,1", 1), (" 2 , 4", 2), ("", 0), ("all", 0), ("-1", 0), (None, 0)],
)
def test_openmps_list_of_threads(text, threads, tmp_path, monkeypatch):
    """OpenMP takes a number for each level of nesting; the first is that of the outermost."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if text is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert onnx_runtime.threads_of_openmp() == threads
    model = Model.open(models.classifier(tmp_path / "c.onnx"), "cpu")
    assert model.session.get_session_options().intra_op_num_threads == threads
