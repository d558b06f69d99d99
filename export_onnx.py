"""Export a trained classifier or generator as ONNX, checked against PyTorch on real images.

    export_onnx.py classifier.pt --out classifier.onnx
    export_onnx.py generator.pt --out generator.onnx --parity-images validation.csv

Beside NAME.onnx stands NAME.json with the metadata that the file also carries. When PyTorch and ONNX Runtime
differ by more than --tolerance (one level for 8-bit images), nothing is written and the exit status is 4.
"""
import dataclasses

import numpy as np

from lib.cli import arg, log, parse, run

MOST_PARITY_IMAGES = 64


@dataclasses.dataclass
class Options:
    checkpoint: str = arg(help="trained model, FILE.pt", args=["checkpoint"])
    out: str = arg(help="where the model goes; its metadata go to the same name with .json", required=True,
                   metavar="FILE.onnx", writes="file")
    as_: str = arg("", args=["--as"], choices=["editor", "sampler", "classifier"], help="what to export of a generator "
                   "[its own kind]; classifier is its discriminator")
    parity_images: str = arg("", help="manifest of images to compare on (default: those kept in the checkpoint)",
                             metavar="FILE.csv")
    tolerance: float = arg(1e-4, help="largest difference allowed in outputs that are not images")

    def __post_init__(self):
        if not self.out.endswith(".onnx"):
            raise ValueError(f"--out {self.out}: a model's name ends in .onnx")
        if self.tolerance <= 0:
            raise ValueError("--tolerance must be above 0")


def parity_images(options, checkpoint):
    """Real images uint8 [N,S,S,3] of the model's size, or None where none are at hand."""
    from lib import images, manifest

    size = checkpoint["config"]["size"]
    if options.parity_images:
        references = manifest.read(options.parity_images).images()
        spread = np.linspace(0, len(references) - 1, min(len(references), MOST_PARITY_IMAGES)).astype(int)
        return np.stack([images.resize(images.load(references[i]), size) for i in spread])
    samples = checkpoint.get("samples")
    return None if samples is None else samples.numpy()


def main():
    options = parse(Options, __doc__)
    from lib import checkpoints, onnx_export  # torch takes seconds to import: --help need not wait

    checkpoint = checkpoints.load_finished(options.checkpoint)
    worst = onnx_export.export(checkpoint, options.out, parity_images(options, checkpoint), options.tolerance,
                               options.checkpoint, options.as_ or None)
    log(f"{options.out}: agrees with PyTorch at batches 1, 2 and 7; largest difference "
        + ", ".join(f"{name} {value:.2g}" for name, value in worst.items()))


if __name__ == "__main__":
    run(main)
