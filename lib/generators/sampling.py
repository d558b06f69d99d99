"""Samplers in training: how their batches are drawn, and how they are watched on the same noise
every epoch."""

import numpy as np
import torch

from lib import images
from lib.cli import BadInput
from lib.device_data import sent, to_uint8
from lib.evaluation import sample_report
from lib.generators import conditions
from lib.generators.contract import SampleBatch
from lib.generators.editing import exploded
from lib.onnx_runtime import Model

EARLY = 2  # epochs before which no collapse is looked for
ROWS = 8  # draws of noise on the sheet, a row each
# conditions on it at most; a sampler without conditions has as many columns of noise
COLUMNS = 10
SAMPLES = 64  # samples that figures are taken over


class Batches:
    """Batches of a training set. data: lib.device_data.Set; table [N,C]: conditions, NaN
    unlabelled."""

    def __init__(self, data, table, system, flip=True):
        self.data, self.table, self.system, self.flip = data, table, system, flip
        self.weight = data.weight.double().cpu()
        if system.drawing.balance:
            self.weight = self.weight * evenly(table).cpu()

    def summary(self):
        """What samples are made from, for people."""
        return "from noise and labels" if self.system.conditional else "from noise alone"

    def draw(self, count, epoch=0):
        """A SampleBatch of `count` rows for each process: drawn for all of them, then cut."""
        draw, labels = self.system.draw, self.system.labels
        total = count * draw.world
        device = self.data.pixels.device
        rows = sent(draw.mine(torch.multinomial(self.weight, total, replacement=True)), device)
        picture, label = self.data.images(rows), self.table[rows]
        if self.flip:
            mirrored = sent(draw.mine(torch.rand(total, 1, 1, 1) < 0.5), device)
            picture = torch.where(mirrored, picture.flip(3), picture)
        return SampleBatch(
            x_real=picture,
            labels=conditions.as_labels(labels, label),
            y=conditions.without_gaps(labels, label),
            known=~label.isnan(),
            epoch=epoch,
        )


def evenly(table):
    """Weights [N] with which every condition column is drawn about equally often: the sum over the
    columns that a row shows of 1 / how often they are shown; rows that show none count as the
    rarest column does."""
    shown = (table >= 0.4).double()  # NaN is not shown
    counts = shown.sum(0).clamp(min=1)
    weight = (shown / counts).sum(1)
    return torch.where(
        shown.any(1), weight, weight.new_tensor(1 / max(1.0, float((~shown.any(1)).sum())))
    )


def draw_noise(drawing, count, generator):
    """float32 [count,Z] on the CPU: normal, or even in [-1, 1]."""
    if drawing.noise == "uniform":
        return torch.rand(count, drawing.noise_size, generator=generator) * 2 - 1
    return torch.randn(count, drawing.noise_size, generator=generator)


class Watch:
    """The same noise every epoch; targets are conditions of real validation rows."""

    def __init__(self, data, table, system, level, reader=""):
        self.labels, self.system = system.labels, system
        rows = sample_report.of_different_people(data.manifest.text("subject"), SAMPLES)
        self.real = data.pixels[torch.from_numpy(rows)].cpu()
        device = data.pixels.device
        generator = torch.Generator().manual_seed(0)
        self.noise = draw_noise(system.drawing, SAMPLES, generator).to(device)
        known = (
            torch.nonzero((~table.isnan()).any(1)).flatten()
            if self.labels.count
            else torch.arange(len(table))
        )
        if not len(known):
            raise BadInput(
                f"{data.manifest.name}: has none of the labels to learn "
                f"({', '.join(self.labels.conditions)}); give a labelled set"
            )
        rows = known[torch.linspace(0, len(known) - 1, SAMPLES).long()]
        self.target = conditions.without_gaps(self.labels, table[rows]).to(device)
        self.reader = Model.open(reader, kind="classifier") if reader else None

    def samples(self):
        """None: export checks a sampler's parity on drawn noise."""
        return None

    @torch.no_grad()
    def look(self, exports):
        """(figures, contact sheet uint8)."""
        sampler = exports["sampler"]
        made = sampler(self.noise, self.target).clamp(-1, 1)
        pixels = to_uint8(made).cpu().numpy()
        figures = sample_report.collapse(pixels, self.real.numpy())
        del figures["collapsed"]  # alarms() says it
        if (
            self.reader
            and self.labels.expressions
            and set(self.labels.expressions) <= set(self.reader.expressions)
        ):
            figures["asked_read"] = self.read_as_asked(pixels)
        return {name: round(value, 5) for name, value in figures.items()}, self.sheet(sampler)

    def read_as_asked(self, pixels):
        """Share of samples, uint8 [N,S,S,3], in which the reader reads the expression that was
        asked for."""
        read = self.reader.predict(pixels)["expression"].argmax(1)
        asked = self.target[:, self.labels.columns("expression")].argmax(1).tolist()
        names = [self.reader.expressions[k] for k in read]
        return float(
            np.mean([name == self.labels.expressions[k] for name, k in zip(names, asked)])
        )

    def sheet(self, sampler):
        """Rows: draws of noise. Columns: one condition each, or further draws where there are no
        conditions."""
        noise = self.noise[:ROWS]
        c = min(self.labels.count, COLUMNS) if self.system.conditional else 0
        if not c:
            wide = to_uint8(sampler(self.noise, self.target)).cpu().numpy()
            return images.sheet([list(wide[i::ROWS]) for i in range(ROWS)])
        rows = []
        for each in noise:
            asked = torch.eye(self.labels.count, device=each.device)[:c]
            rows.append(list(to_uint8(sampler(each.expand(c, -1), asked)).cpu().numpy()))
        return images.sheet(rows)

    def score(self, figures):
        """None: the last epoch is kept, as no figure says which samples are best."""
        return None

    def said(self, figures):
        """An epoch's figures, for people."""
        return (
            f"samples differ {figures['spread']:.2f} as much as real images, "
            f"{figures['nearest_other']:.2f} from the nearest other"
            + (f", {figures['asked_read']:.0%} read as asked" if "asked_read" in figures else "")
        )

    def alarms(self, seen, means, epoch):
        """What looks wrong, in plain words; [] when nothing does."""
        texts = exploded(means)
        if epoch >= EARLY and min(seen["spread"], seen["nearest_other"]) < sample_report.COLLAPSED:
            texts.append(
                f"the generator has collapsed: samples differ {seen['spread']:.2f} as much as "
                f"real images do, and {seen['nearest_other']:.2f} as much from the nearest other; "
                "try relativistic-sampler, lower the learning rates"
            )
        return texts
