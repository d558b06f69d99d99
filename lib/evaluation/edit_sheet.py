"""One picture of several editors: a row each, the same person, a column for each AU or expression.

    python -m lib.evaluation.edit_sheet --models a/generator.onnx b/generator.onnx \\
        --images test.csv --row 0 --out sheet.png

The first column is the image as it is. A row is blank where its editor does not know the
condition. Runs on ONNX Runtime, without torch.
"""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, manifest
from lib.cli import BadInput, arg, log, parse
from lib.onnx_runtime import Model


@dataclass
class Options:
    models: list[str] = arg(nargs="+", required=True, metavar="FILE.onnx",
                            help="exported editors, a row each")
    images: str = arg(help="manifest with the image to edit", required=True, metavar="FILE.csv")
    out: str = arg(help="the picture", required=True, metavar="FILE.png", writes="file")
    row: int = arg(0, help="which image of it, counted from 0", least=0)
    level: float = arg(0.8, help="level of AUs; expressions are asked for whole", least=0)
    scale: int = arg(2, help="how many times as large a picture", least=1)


def edits(model, pixels, data, columns, level):
    """The image and its edits, a column each, uint8 [S,S,3]; None where the editor lacks the
    condition, which is every column of an editor of valence and arousal alone.

    One AU at a level has the other AUs at 0; an expression is asked for whole."""
    labels = model.labels
    known = [name for name in columns if name in labels.conditions]
    shown = images.resize(pixels, model.image_size)
    if not known:
        return [shown, *[None] * len(columns)]
    source = np.repeat(labels.encode(data), len(known), 0)
    target = np.full_like(source, np.nan)
    for row, name in enumerate(known):
        k = labels.conditions.index(name)
        target[row, labels.columns(labels.kinds[k])] = 0
        target[row, k] = level if labels.kinds[k] == "au" else 1
    made = model.predict(np.repeat(shown[None], len(known), 0), 64, "editing", ["edited"],
                         source=source, target=target)["edited"]
    made = dict(zip(known, made))
    return [shown, *(made.get(name) for name in columns)]


def main(argv=None):
    options = parse(Options, __doc__, argv)
    data = manifest.read(options.images)
    if options.row >= len(data):
        raise BadInput(f"{options.images}: has {len(data)} images; give a --row below that")
    models = [Model.open(path) for path in options.models]
    for model in models:
        if not model.edits:
            raise BadInput(f"{model.path}: does not edit images; give exported editors")
    of_all = {name for model in models for name in (*model.aus, *model.labels.expressions)}
    columns = sorted(of_all, key=lambda name: (not name.startswith("AU"), name))
    one = data.take(np.array([options.row]))
    pixels = images.load(one.images()[0])
    size = max(model.image_size for model in models)
    rows = [[None if each is None else images.resize(each, size)
             for each in edits(model, pixels, one, columns, options.level)] for model in models]
    images.save(Path(options.out), images.sheet(rows, scale=options.scale))
    log(f"{options.out}: rows {', '.join(options.models)}; columns the image, {', '.join(columns)}")


if __name__ == "__main__":
    from lib.cli import run
    run(main)
