"""The four accuracies of a discriminator that also names the class: table 1 of Siddiqui 2022.

    python -m lib.evaluation.discriminator_table generator/seed1/discriminator … --out table.md

A folder is one discriminator. It holds reports of evaluate.py --test: {real,generated}_{learnt,
held_out}.json by the discriminator, on real images and on images generated from these, and
judge_….json by a classifier of its own that reads the same images. Binary: the share of real
images taken for real, of generated images not taken for real. Class: the share whose most probable
class is the label; that of a generated image is the class asked for.
"""
import json
from dataclasses import dataclass
from pathlib import Path

from lib.cli import BadInput, arg, parse, run
from lib.evaluation import comparison, published
from lib.files import write_text

WORK, SET = "Siddiqui 2022", "ferg-db"  # of published.csv
PARTS = {"learnt": "learnt from", "held_out": "held-out people"}
PRINTED = {"train": "printed: training images", "validation": "printed: validation images"}
KINDS = ("real", "generated")
HEAD = ["discriminator", "images", "real: binary", "class", "generated: binary", "class",
        "judge: class of real", "of generated"]


@dataclass
class Options:
    folders: list[str] = arg(args=["folders"], nargs="+", metavar="DIR",
                             help="a discriminator's reports, as said above")
    out: str = arg("-", help="where the Markdown goes; - is stdout", metavar="FILE.md",
                   writes="file")


def read(path):
    """A report with accuracies of expressions; BadInput where it is none."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        report["expression"]["accuracy"]
    except FileNotFoundError:
        raise BadInput(f"{path}: no such report; make it with evaluate.py --test") from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: not a report on expressions; make it with evaluate.py --test on "
                       "images with a column expression") from None
    return report


def accuracies(folder, part):
    """[binary and class of real images, of generated ones, the judge's class of both], in [0, 1];
    None where undefined."""
    found = []
    for kind in KINDS:
        path = Path(folder) / f"{kind}_{part}.json"
        report = read(path)
        if "real_as_real" not in report:
            raise BadInput(f"{path}: its model does not tell real from generated images; give the "
                           "report on a discriminator with a probability of being real")
        as_real = report["real_as_real"]
        found += [as_real if kind == "real" else 1 - as_real, report["expression"]["accuracy"]]
    judged = [read(Path(folder) / f"judge_{kind}_{part}.json") for kind in KINDS]
    return found + [report["expression"]["accuracy"] for report in judged]


def name_of(folder):
    """'fexgan-expressions seed 1' from …/fexgan-expressions/seed1/discriminator, else the path."""
    parts = Path(folder).parts
    if len(parts) > 2 and parts[-2].startswith("seed"):
        return f"{parts[-3]} seed {parts[-2].removeprefix('seed')}"
    return str(folder)


def printed(test):
    """The published row of training or validation images, texts; the paper has no judge."""
    rows = published.about(SET, test, WORK)
    return [*(published.values(rows, kind, metric)[0] for kind in KINDS
              for metric in ("binary", "class")), "–", "–"]


def table(folders):
    """The Markdown text."""
    rows = [[name_of(folder), words, *(comparison.spread([each])
                                       for each in accuracies(folder, part))]
            for part, words in PARTS.items() for folder in folders]
    rows += [[WORK, words, *printed(test)] for test, words in PRINTED.items()]
    counts = {part: [read(Path(folders[0]) / f"{kind}_{part}.json")["n"] for kind in KINDS]
              for part in PARTS}
    said = "; ".join(f"{PARTS[part]}: {real} real, {generated} generated"
                     for part, (real, generated) in counts.items())
    return "\n".join(["### Accuracies of the discriminator", "",
                      *comparison.markdown(HEAD, rows), "",
                      f"Per cent. Images {said}. Binary: real from 0.5 on. The judge is a "
                      "classifier that learnt from other people and no generated image."])


def main(argv=None):
    options = parse(Options, __doc__, argv)
    write_text(options.out, table(options.folders) + "\n")


if __name__ == "__main__":
    run(main)
