"""Export a trained classifier or generator as ONNX, checked against PyTorch on real images.

    export_onnx.py classifier.pt --out classifier.onnx
    export_onnx.py generator.pt --out generator.onnx --parity-images validation.csv

Beside NAME.onnx stands NAME.json with the metadata that the file also carries. When PyTorch and
ONNX Runtime differ by more than --tolerance (one level for 8-bit images), nothing is written and
the exit status is 4.

    export_onnx.py classifier.pt --out small.onnx --precision int8 --calibration validation.csv
    --test test.csv

A smaller model (fp16 for GPUs, int8) is written when no figure on --test is more than --max-drop
below that of float32: F1 of AUs, CCC of valence and arousal, accuracy of expressions, likeness of
pictures of a generator.

    export_onnx.py generator.pt --as classifier --validation validation.csv --out reader.onnx

A discriminator has learnt no thresholds of AUs. --validation chooses them as train_classifier.py
does.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from lib.cli import BadInput, arg, log, parse, run

MOST_PARITY_IMAGES = 64


@dataclasses.dataclass
class Options:
    checkpoint: str = arg(help="trained model, FILE.pt", args=["checkpoint"])
    out: str = arg(
        help="where the model goes; its metadata go to the same name with .json",
        required=True,
        metavar="FILE.onnx",
        writes="file",
    )
    as_: str = arg(
        "",
        args=["--as"],
        choices=["editor", "sampler", "classifier"],
        help="what to export of a generator [its own kind]; classifier is its discriminator",
    )
    parity_images: str = arg(
        "",
        help="manifest of images to compare on (default: those kept in the checkpoint)",
        metavar="FILE.csv",
    )
    validation: str = arg(
        "",
        metavar="FILE.csv",
        help="labelled manifest on which thresholds of AUs are chosen [those of the checkpoint]",
    )
    tolerance: float = arg(1e-4, help="largest difference allowed in outputs that are not images")
    precision: str = arg(
        "float32", choices=["float32", "fp16", "int8"], help="numbers inside the model"
    )
    calibration: str = arg(
        "", help="with int8: manifest of images whose ranges are taken", metavar="FILE.csv"
    )
    test: str = arg(
        "",
        help="with fp16 and int8: labelled manifest on which the smaller model has to hold",
        metavar="FILE.csv",
    )
    max_drop: float = arg(0.01, help="how much a figure may be lower on --test", least=0)

    def __post_init__(self):
        if not self.out.endswith(".onnx"):
            raise ValueError(f"--out {self.out}: a model's name ends in .onnx")
        if self.tolerance <= 0:
            raise ValueError("--tolerance must be above 0")
        if (self.precision != "float32") != bool(self.test) or (self.precision == "int8") != bool(
            self.calibration
        ):
            raise ValueError(
                "--precision fp16 needs --test FILE.csv; int8 needs --test and --calibration; "
                "float32 none"
            )


def parity_images(options, checkpoint):
    """Real images uint8 [N,S,S,3] of the model's size, or None where none are at hand."""
    from lib import images, manifest

    size = checkpoint["config"]["size"]
    if options.parity_images:
        references = manifest.read(options.parity_images).images()
        spread = np.linspace(
            0, len(references) - 1, min(len(references), MOST_PARITY_IMAGES)
        ).astype(int)
        return np.stack([images.resize(images.load(references[i]), size) for i in spread])
    samples = checkpoint.get("samples")
    return None if samples is None else samples.numpy()


def main():
    options = parse(Options, __doc__)
    from lib import checkpoints, manifest  # torch takes seconds to import: --help need not wait

    checkpoint = checkpoints.load_finished(options.checkpoint)
    labelled = manifest.read(options.validation) if options.validation else None
    if options.precision != "float32":
        smaller(options, checkpoint, labelled)
        return
    worst = export(options, checkpoint, options.out, labelled)
    log(
        f"{options.out}: agrees with PyTorch at batches 1, 2 and 7; largest difference "
        + ", ".join(f"{name} {value:.2g}" for name, value in worst.items())
    )


def export(options, checkpoint, out, labelled):
    """Write float32 ONNX; {output: largest difference from PyTorch}. labelled: the manifest of
    --validation, or None."""
    from lib import onnx_export

    return onnx_export.export(
        checkpoint,
        out,
        parity_images(options, checkpoint),
        options.tolerance,
        options.checkpoint,
        options.as_ or None,
        None if labelled is None else lambda model: chosen_thresholds(model, labelled, options),
    )


def chosen_thresholds(model, labelled, options):
    """{metadata key: {AU: threshold with the best F1 on a manifest}} of an exported model, as a
    classifier's training chooses."""
    from lib.classifiers import thresholds
    from lib.evaluation.reading import Readers

    found = Readers([str(model)], "cpu", labelled).read(batch=64, default=0.5)
    shared = [name for name in found.aus if name in labelled.au_names]
    if not shared:
        raise BadInput(
            f"{options.validation}: has no AU that {options.checkpoint} reads "
            f"({' '.join(found.aus) or 'it reads no AUs'}); leave --validation out"
        )
    columns = [found.aus.index(name) for name in shared]
    readings = {"au": found.au[:, columns]}
    if found.presence is not None:
        readings["au_present"] = found.presence[:, columns]
    return thresholds.to_store(readings, labelled, shared)


def smaller(options, checkpoint, labelled):
    """Export in float32 to a place that vanishes, then in the precision that is asked for."""
    from lib import manifest, onnx_precision

    test = manifest.read(options.test)
    calibration = manifest.read(options.calibration) if options.calibration else None
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.onnx"
        export(options, checkpoint, whole, labelled)
        found = onnx_precision.shrink(
            whole,
            options.out,
            options.precision,
            test,
            calibration,
            options.max_drop,
            checkpoint.get("training_sets", ()),
        )
        sizes = [path.stat().st_size / 1e6 for path in (whole, Path(options.out))]
    log(
        f"{options.out}: {options.precision}, {sizes[1]:.2f} MB (float32: {sizes[0]:.2f} MB); "
        + ", ".join(f"{name} {less:.4f} ({full:.4f})" for name, (full, less) in found.items())
    )


if __name__ == "__main__":
    run(main)
