"""An editor that does less than it is asked is asked for more.

    python -m lib.strength generator.onnx --report report_validation.json --out strong.onnx

An editor learns from true images by their distance, and an edit that might be a pixel off is then
safest when it is weak: lids and dimples get less than half of what is asked. A report on pairs
(evaluate.py --pairs, with a judge) says how much of each AU's true rise an edit shows. The new
graph tells the network

    source + strength x (target - source),  strength = (WANTED / fulfilment)^(1 / POWER), between 1
                                            and --most,

AU by AU. No change stays no change. The report must be on other people than the one that is shown
to others.
"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cli import BadInput, arg, log, parse, run
from lib.files import replacing, to_json

WANTED = 0.8  # of the true rise; beyond it, distances to the true images grow faster than readings
POWER = 1.5   # a reading rises by about this power of how much is asked (0.9 to 1.9, by AU)


@dataclass
class Options:
    model: str = arg(args=["model"], help="exported editor of AUs", metavar="FILE.onnx")
    report: str = arg(help="what it does on pairs of other people, by evaluate.py", required=True,
                      metavar="FILE.json")
    out: str = arg(help="where the strengthened editor goes, with NAME.json beside it",
                   required=True, metavar="FILE.onnx", writes="file")
    most: float = arg(1.5, help="the most that any AU is asked for, times what is asked", least=1)


def strengths_of(per_au, names, most):
    """float [C] from a report's {AU: {"rise", "true_rise"}}; 1 where it says nothing, or the AU
    does not rise at all."""
    found = []
    for name in names:
        entry = per_au.get(name, {})
        rise, true = entry.get("rise"), entry.get("true_rise")
        told = rise is not None and true is not None and rise > 0 and true > 0
        found.append(float(np.clip((WANTED * true / rise) ** (1 / POWER), 1, most)) if told
                     else 1.0)
    return np.round(found, 3)


def strengthen(model, strengths):
    """Change an editor's ONNX graph in place: it is told source + strengths [C] x (target -
    source)."""
    from onnx import helper, numpy_helper

    graph = model.graph
    for node in graph.node:
        node.input[:] = ["asked_strongly" if name == "target" else name for name in node.input]
    strengths = np.asarray(strengths, np.float32)
    graph.initializer.append(numpy_helper.from_array(strengths, "strengths"))
    first = [helper.make_node("Sub", ["target", "source"], ["asked_change"]),
             helper.make_node("Mul", ["asked_change", "strengths"], ["strong_change"]),
             helper.make_node("Add", ["source", "strong_change"], ["asked_strongly"])]
    for node in reversed(first):
        graph.node.insert(0, node)


def editor_of_aus(path):
    """(ONNX model, metadata, names of its AUs); BadInput for anything else."""
    import onnx

    if not Path(path).is_file():
        raise BadInput(f"{path}: no such model; export it first, or correct the path")
    try:
        model = onnx.load(path)
    except Exception:  # protobuf raises kinds of its own for files that are no model
        raise BadInput(f"{path}: is no ONNX model; export it again") from None
    try:
        meta = {item.key: json.loads(item.value) for item in model.metadata_props}
    except ValueError as error:  # models of other tools hold plain text there
        raise BadInput(f"{path}: its metadata is not JSON ({error}); export one with "
                       "export_onnx.py") from None
    if (meta.get("kind") not in ("editor", "generator")
        or {*meta.get("condition_kind", ["au"])} != {"au"}):
        raise BadInput(f"{path}: is no editor of AUs; export one with export_onnx.py")
    if meta.get("strength"):
        raise BadInput(f"{path}: is strengthened already; give the model that export_onnx.py wrote")
    return model, meta, meta.get("conditions") or meta["aus"]


def write(model, meta, out):
    """The model with its metadata, and NAME.json."""
    import onnx

    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    # .json is renamed first
    with replacing(out) as temporary, replacing(Path(out).with_suffix(".json")) as beside:
        onnx.save(model, temporary)
        beside.write_text(to_json(meta), encoding="utf-8")


def main(argv=None):
    options = parse(Options, __doc__, argv)
    model, meta, names = editor_of_aus(options.model)
    try:
        per_au = json.loads(Path(options.report).read_text())["edits"]["per_au"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{options.report}: is no report on edits of AUs; "
                       "make it by evaluate.py --pairs") from None
    strengths = strengths_of(per_au, names, options.most)
    strengthen(model, strengths)
    write(model, {**meta, "strength": dict(zip(names, map(float, strengths)))}, options.out)
    log(f"{options.out}: " + ", ".join(
        f"{name} x{value:g}" for name, value in zip(names, strengths) if value > 1
    ))


if __name__ == "__main__":
    run(main)
