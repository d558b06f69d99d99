"""Watching an editing generator learn: the same validation faces every epoch, figures and alarms."""
import torch

from lib import images
from lib.device_data import to_uint8
from lib.cli import BadInput
from lib.onnx_runtime import Model, au_scores

NEUTRAL = 0.1        # a face whose AUs are all below this is neutral
FACES, SHOWN = 240, 6  # validation faces edited each epoch, and how many of them the sheet shows
BATCH = 32           # of them at a time, as training steps leave little memory at paper size


class Watch:
    """Edits validation faces (neutral ones where there are enough) towards one AU at a time."""

    def __init__(self, data, level, reader=""):
        self.level, self.aus = level, data.au_names
        known = ~torch.isnan(data.aus)
        rows = torch.nonzero((~known | (data.aus < NEUTRAL)).all(1) & known.any(1)).flatten()
        if len(rows) < SHOWN:
            rows = torch.nonzero(known.any(1)).flatten()
        if not len(rows):
            raise BadInput(f"{data.manifest.name}: has none of the labels to learn ({', '.join(self.aus)}); give a "
                           "labelled set")
        rows = rows[torch.linspace(0, len(rows) - 1, min(FACES, len(rows))).long()]  # spread over the people
        self.pixels, self.image = data.pixels[rows], data.images(rows)
        self.known, self.source = known[rows], torch.nan_to_num(data.aus[rows])  # what is unknown stays unchanged
        self.reader = Model.open(reader, kind="classifier") if reader else None
        if self.reader:
            if not set(self.aus) & set(self.reader.aus):
                raise BadInput(f"{reader}: reads none of the AUs {' '.join(self.aus)}; give a classifier of them")
            self.columns = [self.reader.aus.index(au) if au in self.reader.aus else None for au in self.aus]
            self.before = self.read(self.pixels.cpu().numpy())

    def samples(self):
        """A few validation images, uint8 [8,S,S,3], which export checks parity on."""
        return self.pixels[:8].cpu()

    def read(self, pixels):
        """The supervised classifier's AUs, [N,C], NaN where it lacks one."""
        found = torch.from_numpy(au_scores(self.reader, self.reader.predict(pixels)))
        blank = torch.full((len(found),), torch.nan)
        return torch.stack([blank if column is None else found[:, column] for column in self.columns], 1)

    @torch.no_grad()
    def look(self, generator, discriminator):
        """(figures, contact sheet uint8). Every face gets one AU; the shown ones get each AU in turn."""
        n, c = self.source.shape
        au = torch.arange(n, device=self.source.device) % c
        for i in torch.nonzero(~self.known[torch.arange(n), au]).flatten().tolist():
            au[i] = torch.nonzero(self.known[i]).flatten()[i % self.known[i].sum()]
        target = torch.zeros_like(self.source)
        target[torch.arange(n), au] = self.level
        edited = in_batches(generator.edit, self.image, self.source, target).clamp(-1, 1)
        self_made = in_batches(generator.edit, self.image, self.source, self.source)
        row = torch.arange(n)
        seen_by_d = [in_batches(lambda part: discriminator(part)[1], picture).float() for picture in (edited, self.image)]
        d_rise = (seen_by_d[0] - seen_by_d[1])[row, au].mean().item()
        if self.reader:
            after, before = self.read(to_uint8(edited).cpu().numpy()), self.before
        else:
            after, before = seen_by_d[0].cpu(), seen_by_d[1].cpu()
        wanted = torch.where(self.known, target, torch.nan).cpu()
        known = ~torch.isnan(after).any(0)
        figures = {
            "condition_error": (after - wanted)[:, known].square().nanmean().item(),
            "unedited_error": (before - wanted)[:, known].square().nanmean().item(),
            "target_rise": torch.nanmean((after - before)[row, au.cpu()]).item(), "d_target_rise": d_rise,
            "change": (edited - self.image).abs().mean().item() * 127.5,
            "self_change": (self_made - self.image).abs().mean().item() * 127.5}
        sheet, variety = self.sheet(generator)
        figures["variety"] = variety
        return {name: round(value, 5) for name, value in figures.items()}, sheet

    def sheet(self, generator):
        """Rows: faces; columns: the face, then one AU each. Also: how much results differ between AUs,
        as a share of how much they differ from the input."""
        rows, variety = [], []
        for i in range(min(SHOWN, len(self.image))):
            c = len(self.aus)
            image = self.image[i:i + 1].expand(c, -1, -1, -1).contiguous(memory_format=torch.channels_last)
            target = torch.eye(c, device=image.device) * self.level
            edited = generator.edit(image, self.source[i:i + 1].expand(c, -1), target)
            change = edited - image
            variety.append((change - change.mean(0)).abs().mean() / change.abs().mean().clamp(min=1e-6))
            rows.append([self.pixels[i].cpu().numpy(), *to_uint8(edited).cpu().numpy()])
        return images.sheet(rows), torch.stack(variety).mean().item()

    def alarms(self, seen, means, epoch):
        """What looks wrong, in plain words; [] when nothing does."""
        if epoch < 2:
            return []
        texts = []
        if seen["change"] < 0.3:
            texts.append(f"the output is the input (mean change {seen['change']:.2f}/255): raise w_condition or w_pair, "
                         "lower w_self and w_cycle")
        elif seen["variety"] < 0.2:
            texts.append("the condition is ignored: edits towards different AUs are alike; raise w_condition")
        elif max(seen["target_rise"], seen["d_target_rise"]) < 0.15 * self.level:
            texts.append(f"edits hardly show what is asked (target read {seen['target_rise']:+.2f} of {self.level:g}): train "
                         "longer; if it stays, the discriminator's AU head has nothing to teach (see d_condition)")
        if self.reader and seen["d_target_rise"] > 0.4 * self.level and seen["target_rise"] < 0.25 * seen["d_target_rise"]:
            texts.append("adversarial patterns, not expressions: the discriminator reads the target AU "
                         f"({seen['d_target_rise']:+.2f}), the independent classifier does not ({seen['target_rise']:+.2f}); "
                         "augment, raise w_penalty, lower w_condition")
        if means.get("g_adversarial", 0) > 4 and means.get("d_gap", 0) > 6:
            texts.append("the discriminator has won: it tells every edit from a real image; lower d_learning_rate or n_critic")
        return texts


def in_batches(function, *inputs):
    """function(*inputs) [N,…], BATCH rows at a time."""
    return torch.cat([function(*parts) for parts in zip(*(each.split(BATCH) for each in inputs))])
