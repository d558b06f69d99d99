"""The picture at the top of README: a photograph in the public domain (skimage.data.astronaut,
NASA), and edits of it.

    python -m lib.faces.showcase --editor runs/models/editor.onnx --out docs/astronaut.jpg
"""

from dataclasses import dataclass

import numpy as np

from lib.cli import arg, log, parse, run
from lib.faces import paste
from lib.faces.photo_editor import SHIPPED, PhotoEditor

# what each picture shows, {AU: level}; what is not named stays
EDITS = (
    {},
    {"AU01": 0.5, "AU02": 0.5},
    {"AU04": 0.35},
    {"AU06": 0.9, "AU12": 1.0, "AU25": 0.9},
    {"AU06": 0.1, "AU12": 0.4},
)
PART = np.s_[10:230, 130:310]  # her head


@dataclass
class Options:
    editor: str = arg(help="editor of photographs", required=True, metavar="FILE.onnx")
    out: str = arg(help="JPEG to write", required=True, metavar="FILE.jpg", writes="file")
    quality: int = arg(88, help="of the JPEG", least=1)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    from PIL import Image
    from skimage.data import astronaut

    from lib.files import replacing
    from lib.onnx_runtime import Model

    editor = PhotoEditor(
        Model.open(options.editor, "cpu", kind="generator"),
        Model.open(str(SHIPPED), "cpu", kind="classifier"),
    )
    photo = astronaut()
    found = paste.find(photo, "tight", editor.model.image_size)
    shown = editor.shown(photo, found)
    made = []
    for values in EDITS:
        target = np.array(
            [[values.get(name, np.nan) for name in editor.model.labels.conditions]], np.float32
        )
        made.append(editor.edited(photo, found, shown, target)[PART])
    with replacing(options.out) as temporary:
        Image.fromarray(np.concatenate(made, 1)).save(
            temporary, format="JPEG", quality=options.quality
        )
    log(f"{options.out}: {len(made)} pictures")


if __name__ == "__main__":
    run(main)
