"""Editors in training: how their batches are drawn, and how they are watched on the same
validation faces."""
import torch
from torch.nn import functional as F

from lib import images
from lib.cli import BadInput
from lib.device_data import sent, to_uint8
from lib.generators import conditions, motion, pairs
from lib.generators.contract import EditBatch
from lib.onnx_runtime import Model, au_scores

NEUTRAL = 0.1          # a face whose AUs are all below this is neutral
FACES, SHOWN = 240, 6  # validation faces edited each epoch, and how many of them the sheet shows
SOLVED = 0.02          # of the unedited faces' error; what is left below says nothing of an epoch
BATCH = 32             # of them at a time, as training steps leave little memory at paper size


class Batches:
    """Batches of a training set. data: lib.device_data.Set; table [N,C]: conditions, NaN
    unlabelled.

    Rows and conditions are drawn on the CPU, where a choice costs no wait for a GPU, and sent."""

    def __init__(self, data, table, system, flip=True):
        self.data, self.table, self.system, self.flip = data, table.cpu(), system, flip
        self.device = table.device
        drawing = system.drawing
        self.pairs = pairs.Pairs(data.manifest, table, weight=data.weight, by=drawing.pair_by,
                                 isolate=drawing.isolate)
        self.shares = dict(drawing.shares)
        self.motion = motion.Motion(data.manifest, data.pixels.device) if drawing.motion else None
        if "pair" in self.shares and not self.pairs.count:
            if not system.learn_without_pairs() or len(self.shares) == 1:
                raise BadInput(
                    f"{data.manifest.name}: no two images of one session or subject, "
                    "of which these settings learn alone; add a column session, or change --config"
                )
            self.shares.pop("pair")

    def summary(self):
        """What there is to draw from, for people."""
        by = self.system.drawing.pair_by
        return (f"any two of {self.pairs.count} images are a pair" if by == "any"
                else f"{self.pairs.count} images have others of the same {by}")

    def draw(self, count, epoch=0):
        """An EditBatch of `count` rows for each process: drawn for all of them, then cut."""
        drawing, draw = self.system.drawing, self.system.draw
        total = count * draw.world
        kinds = pairs.share_out(total, self.shares)
        kinds.sort(key=lambda kind: kind != "pair")
        paired = kinds.count("pair")
        if 0 < paired < draw.world:  # one process would wait for what another never computes
            raise BadInput(f"{paired} of a batch's {total} rows are pairs of one person's images: "
                           f"too few for {draw.world} processes; raise --batch")
        rows = self.pairs.rows(total)
        if paired:
            rows[:paired], partners = self.pairs.draw(paired)
        label = self.table[rows]
        target = pairs.draw(kinds, label, self.table, self.system.labels,
                            jitter=drawing.target_noise, levels=drawing.levels,
                            clamp=drawing.clamp)
        images_of = {"x_real": rows}
        if paired:
            target[:paired] = self.table[partners]
            images_of["x_true"] = partners
            if drawing.doubles:
                images_of["x_double"] = self.pairs.doubles(rows[:paired])
        images_of = {name: sent(draw.mine(each), self.device) for name, each in images_of.items()}
        pictures = {name: self.data.images(each) for name, each in images_of.items()}
        pictures, mirrored = self.augment(pictures, total)
        if paired and self.motion is not None:
            true = images_of["x_true"]
            pictures["motion"] = self.motion.between(images_of["x_real"][:len(true)], true,
                                                     mirrored[:len(true)])
        label = self.noisy(label)
        source = conditions.without_gaps(self.system.labels, label)
        target = torch.where(target.isnan() | label.isnan(), source, target)  # unknown: unchanged
        label, source, target = (sent(draw.mine(each), self.device)
                                 for each in (label, source, target))
        return EditBatch(labels=conditions.as_labels(self.system.labels, label), y_org=source,
                         y_trg=target, known=~label.isnan(), kinds=draw.mine(kinds), epoch=epoch,
                         **pictures)

    def noisy(self, label):
        """Conditions [B,C] with U(±source_noise) on AUs, valence and arousal."""
        amount, labels = self.system.drawing.source_noise, self.system.labels
        if not amount:
            return label
        wide = torch.tensor([kind != "expression" for kind in labels.kinds], device=label.device)
        noisy = label + (torch.rand(label.shape, device=label.device) * 2 - 1) * amount * wide
        if not self.system.drawing.clamp:
            return noisy
        low, high = conditions.limits(labels, label)
        return torch.minimum(torch.maximum(noisy, low), high)

    def augment(self, pictures, total):
        """(pictures, bool [B] which are mirrored): the same flip and crop for all pictures of a
        row; the first rows of x_real are those of the others."""
        draw = self.system.draw
        mirrored = torch.zeros(len(pictures["x_real"]), 1, 1, 1, dtype=torch.bool,
                               device=self.device)
        if self.flip:
            mirrored = sent(draw.mine(torch.rand(total, 1, 1, 1) < 0.5), self.device)
            pictures = {name: torch.where(mirrored[:len(each)], each.flip(3), each)
                        for name, each in pictures.items()}
        if self.system.drawing.crop:
            shift = draw.mine(torch.rand(total, 2))
            pictures = {name: padded_crop(each, shift[:len(each)])
                        for name, each in pictures.items()}
        return pictures, mirrored


def padded_crop(pictures, shift):
    """Pad by S/16 (black, -1) and crop to S again, where shift [N,2] in [0, 1) says: [N,3,S,S] ->
    the same shape."""
    size = pictures.shape[3]
    pad = max(1, size // 16)
    wide = F.pad(pictures, (pad,) * 4, value=-1.0)
    corner = (shift * (2 * pad + 1)).long().tolist()
    return torch.stack([each[:, y:y + size, x:x + size] for each, (y, x) in zip(wide, corner)])


class Watch:
    """Edits validation faces (neutral ones where there are enough) towards one condition at a
    time."""

    def __init__(self, data, table, system, level, reader=""):
        if not reader and "classifier" not in system.exports:
            raise BadInput("this generator has no discriminator that reads labels; "
                           "give --reader FILE.onnx")
        self.level, self.labels, self.sums = level, system.labels, system.sums
        known = ~table.isnan()
        rows = torch.nonzero(neutral(table, self.labels) & known.any(1)).flatten()
        if len(rows) < SHOWN:
            rows = torch.nonzero(known.any(1)).flatten()
        if not len(rows):
            raise BadInput(f"{data.manifest.name}: has none of the labels to learn "
                           f"({', '.join(self.labels.conditions)}); give a labelled set")
        # spread over the people
        rows = rows[torch.linspace(0, len(rows) - 1, min(FACES, len(rows))).long()]
        self.pixels, self.image = data.pixels[rows], data.images(rows)
        self.known = known[rows]  # what is unknown stays unchanged
        self.source = conditions.without_gaps(self.labels, table[rows])
        self.reader = Model.open(reader, kind="classifier") if reader else None
        if self.reader:
            self.before = self.read(self.pixels.cpu().numpy())
            if self.before.isnan().all():
                raise BadInput(f"{reader}: reads none of {' '.join(self.labels.conditions)}; "
                               "give a classifier of them")

    def samples(self):
        """A few validation images, uint8 [8,S,S,3], which export checks parity on."""
        return self.pixels[:8].cpu()

    def read(self, pixels):
        """What the supervised classifier reads, conditions [N,C], NaN where it lacks one."""
        outputs, found = self.reader.predict(pixels), {}
        if set(self.labels.aus) & set(self.reader.aus):
            scores = torch.from_numpy(au_scores(self.reader, outputs))
            blank = torch.full((len(pixels),), torch.nan)
            found["au"] = torch.stack(
                [scores[:, self.reader.aus.index(au)] if au in self.reader.aus else blank
                 for au in self.labels.aus], 1
            )
        if "valence_arousal" in outputs:
            found["valence_arousal"] = torch.from_numpy(outputs["valence_arousal"])
        if set(self.labels.expressions) <= set(self.reader.expressions) and "expression" in outputs:
            order = [self.reader.expressions.index(name) for name in self.labels.expressions]
            found["expression"] = torch.from_numpy(outputs["expression"][:, order])
        if not found:
            return torch.full((len(pixels), self.labels.count), torch.nan)
        return conditions.from_readings(self.labels, found)

    def asked(self, source, column):
        """Conditions [N,C] in which `column` [N] is asked for, and nothing else of its kind."""
        target, kinds = source.clone(), self.labels.kinds
        for i, k in enumerate(column.tolist()):
            if kinds[k] != "va":
                target[i, self.labels.columns(kinds[k])] = 0
            target[i, k] = 1.0 if kinds[k] == "expression" else self.level
        return target

    @torch.no_grad()
    def look(self, exports):
        """(figures, contact sheet uint8). Every face gets one condition; the shown ones get each
        in turn."""
        editor, critic = picture_of(exports["editor"]), exports.get("classifier")
        n, c = self.source.shape
        row, column = torch.arange(n), torch.arange(n, device=self.source.device) % c
        for i in torch.nonzero(~self.known[row, column]).flatten().tolist():
            column[i] = torch.nonzero(self.known[i]).flatten()[i % self.known[i].sum()]
        target = self.asked(self.source, column)
        edited = in_batches(editor, self.image, self.source, target).clamp(-1, 1)
        self_made = in_batches(editor, self.image, self.source, self.source)
        by_critic = [in_batches(lambda part: self.readings(critic, part), picture).float()
                     for picture in (edited, self.image)] if critic else None
        if self.reader:
            after, before = self.read(to_uint8(edited).cpu().numpy()), self.before
        else:
            after, before = (each.cpu() for each in by_critic)
        wanted = torch.where(self.known, target, torch.nan).cpu()
        readable = ~torch.isnan(after).any(0)
        rise = (after - before)[row, column.cpu()]
        figures = {"condition_error": (after - wanted)[:, readable].square().nanmean().item(),
                   "unedited_error": (before - wanted)[:, readable].square().nanmean().item(),
                   "target_rise": torch.nanmean(rise).item(),
                   **({"d_target_rise": (by_critic[0] - by_critic[1])[row, column].mean().item()}
                      if critic else {}),
                   "change": (edited - self.image).abs().mean().item() * 127.5,
                   "self_change": (self_made - self.image).abs().mean().item() * 127.5}
        sheet, figures["variety"] = self.sheet(editor)
        return {name: round(value, 5) for name, value in figures.items()}, sheet

    def readings(self, critic, pictures):
        """A discriminator's readings as conditions [N,C]."""
        return conditions.from_readings(self.labels, critic(pictures))

    def sheet(self, editor):
        """Rows: faces; columns: the face, then one condition each. Also: how much results differ
        between conditions, as a share of how much they differ from the input."""
        rows, variety = [], []
        c = self.labels.count
        for i in range(min(SHOWN, len(self.image))):
            image = self.image[i:i + 1].expand(c, -1, -1, -1).contiguous(
                memory_format=torch.channels_last
            )
            source = self.source[i:i + 1].expand(c, -1)
            edited = editor(image, source, self.asked(source, torch.arange(c)))
            change = edited - image
            variety.append(
                (change - change.mean(0)).abs().mean() / change.abs().mean().clamp(min=1e-6)
            )
            rows.append([self.pixels[i].cpu().numpy(), *to_uint8(edited).cpu().numpy()])
        return images.sheet(rows), torch.stack(variety).mean().item()

    def score(self, figures):
        """What chooses the epoch, lower is better: the error as a share of the unedited faces'.

        A discriminator that reads its own generator's edits soon finds no error at all. Epochs
        below SOLVED are therefore as good as each other."""
        return max(figures["condition_error"] / max(figures["unedited_error"], 1e-6), SOLVED)

    def said(self, figures):
        """An epoch's figures, for people."""
        return (f"condition error {figures['condition_error']:.4f} (unedited "
                f"{figures['unedited_error']:.4f}), "
                f"target read {figures['target_rise']:+.3f} of {self.level:g}")

    def alarms(self, seen, means, epoch):
        """What looks wrong, in plain words; [] when nothing does."""
        texts = exploded(means, self.sums)
        if epoch < EARLY:  # what is only weak so far may still grow
            return texts
        d_rise = seen.get("d_target_rise", seen["target_rise"])
        if "g_mask_mean" in means and not 0.02 < means["g_mask_mean"] < 0.98:
            texts.append(f"the mask is saturated (mean {means['g_mask_mean']:.3f}): it shows only "
                         "the input, or none of it; change the weights of the mask's losses")
        if seen["change"] < 0.3:
            texts.append(f"the output is the input (mean change {seen['change']:.2f}/255): "
                         "raise w_condition or w_pair, lower w_self and w_cycle")
        elif seen["variety"] < 0.2:
            texts.append("the condition is ignored: edits towards different targets are "
                         "alike; raise w_condition")
        elif max(seen["target_rise"], d_rise) < 0.15 * self.level:
            texts.append(
                f"edits hardly show what is asked (target read {seen['target_rise']:+.2f} of "
                f"{self.level:g}): train longer; if it stays, the discriminator's label head has "
                "nothing to teach (see d_condition)"
            )
        if self.reader and d_rise > 0.4 * self.level and seen["target_rise"] < 0.25 * d_rise:
            texts.append("adversarial patterns, not expressions: "
                         f"the discriminator reads the target ({d_rise:+.2f}), "
                         f"the independent classifier does not ({seen['target_rise']:+.2f}); "
                         "augment, raise w_penalty, lower w_condition")
        if means.get("g_adversarial", 0) > 4 and means.get("d_gap", 0) > 6:
            texts.append("the discriminator has won: it tells every edit from a real image; "
                         "lower its learning rate or let it learn less often")
        return texts


EARLY = 2       # epochs after which a generator should show what it learns
EXPLODED = 1e4  # a loss beyond this has left every range that training comes back from


def exploded(means, sums=()):
    """[a sentence on a loss that has exploded], or []; sums: terms that are large by nature."""
    worst = max(means.keys() - {*sums}, key=lambda name: abs(means[name]), default=None)
    if worst is None or abs(means[worst]) < EXPLODED:
        return []
    return [f"a loss has exploded ({worst} {means[worst]:.3g}): lower the learning rates"]


def neutral(table, labels):
    """bool [N]: faces that show nothing: every known AU below NEUTRAL, the expression `neutral`
    where there is one."""
    calm = torch.ones(len(table), dtype=torch.bool, device=table.device)
    aus = table[:, labels.columns("au")]
    calm &= (aus.isnan() | (aus < NEUTRAL)).all(1)
    if "neutral" in labels.expressions:
        calm &= table[:, labels.conditions.index("neutral")] == 1
    return calm


def picture_of(editor):
    """The editor's picture alone, where it gives flow and paint as well."""
    def edit(image, source, target):
        made = editor(image, source, target)
        return made["edited"] if isinstance(made, dict) else made
    return edit


def in_batches(function, *inputs):
    """function(*inputs) [N,…], BATCH rows at a time."""
    return torch.cat([function(*parts) for parts in zip(*(each.split(BATCH) for each in inputs))])
