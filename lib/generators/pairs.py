"""What a training step is given: images, the AUs asked of them, and true images of the same person as answers.

Kinds: `permuted` another sample's AUs (Ling et al. 2020), `single` one AU alone, `change` one AU of the
source set anew, `self` the source's own AUs (the output must be the input), and `pair` the AUs of another
image J of the same person in the same session, so that J itself is the true answer (the idiosyncratic loss
of Niinuma et al. 2022 compares with it).
"""
from dataclasses import dataclass

import numpy as np
import torch

from lib.device_data import codes


MOST = 2000  # images among which a double is looked for


class Pairs:
    """Pairs (I, J) of images of one person in one session (column `session`, else `subject`).

    An AU is drawn first, evenly, then a J that shows it, then an I of the same session: rare AUs are seen
    as often as common ones. A third of the pairs are swapped, so that AUs are also switched off. What either of
    the two does not label is not asked for; an I that shares no labelled AU with J gives way to J itself.
    weight [N]: J, and the rows of other kinds, are drawn in proportion to it."""

    def __init__(self, manifest, aus, present=0.15, weight=None):
        column = "session" if "session" in manifest.columns else "subject"
        group = codes(manifest.text(column))
        even = weight is None or bool((weight == weight[0]).all())
        self.total, self.weight = len(manifest), None if even else weight.double().cpu()
        self.known, self.aus = ~torch.isnan(aus).cpu(), torch.nan_to_num(aus.cpu())  # [N,C]
        usable = (group >= 0) & self.known.any(1).numpy()
        if self.weight is not None:
            usable &= (self.weight > 0).numpy()
        members = [np.flatnonzero(usable & (group == g)) for g in np.unique(group[usable])]
        members = [rows for rows in members if len(rows) > 1]
        self.count = sum(map(len, members))
        if not self.count:
            return
        self.longest = max(map(len, members))
        self.members = torch.from_numpy(np.stack([np.resize(rows, self.longest) for rows in members]))  # [G,M]
        self.size = torch.tensor([len(rows) for rows in members])  # [G]
        home = np.full(len(manifest), -1)
        for g, rows in enumerate(members):
            home[rows] = g
        self.home = torch.from_numpy(home)  # [N]
        shows = (aus.cpu() >= present) & (self.home >= 0)[:, None]
        self.showing = [torch.nonzero(shows[:, a]).flatten() for a in range(aus.shape[1])]
        self.showing = [rows for rows in self.showing if len(rows)] or [torch.nonzero(self.home >= 0).flatten()]

    def rows(self, count):
        """int64 [count]: rows for kinds other than `pair`."""
        if self.weight is None:
            return torch.randint(self.total, (count,))
        return torch.multinomial(self.weight, count, replacement=True)

    def draw(self, count):
        """Two int64 [count]: sources I and true answers J."""
        j = torch.empty(count, dtype=torch.long)
        which = torch.randint(len(self.showing), (count,))
        place = torch.rand(count)
        for k in range(count):  # a few dozen draws: a loop is as fast as anything
            rows = self.showing[which[k]]
            if self.weight is None:
                j[k] = rows[int(place[k] * len(rows))]
            else:
                ends = self.weight[rows].cumsum(0)
                j[k] = rows[torch.searchsorted(ends, place[k].double() * ends[-1], right=True)]
        g = self.home[j]
        i = self.members[g, (torch.rand(count) * self.size[g]).long()]
        i = torch.where((self.known[i] & self.known[j]).any(1), i, j)
        swap = torch.rand(count) < 1 / 3
        return torch.where(swap, j, i), torch.where(swap, i, j)

    def doubles(self, rows):
        """int64 [P]: for each row of a session another of the session, whose AUs are the nearest; drawn where several
        are. In large sessions it is the nearest of MOST that are drawn first."""
        found = torch.empty_like(rows)
        for k, row in enumerate(rows):
            others = self.members[self.home[row], :self.size[self.home[row]]]
            if len(others) > MOST:
                others = others[torch.randint(len(others), (MOST,))]
            others = others[others != row]
            distance = torch.where(self.known[others], (self.aus[others] - self.aus[row]).abs(), 1.0)
            distance = distance[:, self.known[row]].sum(1)
            found[k] = others[(distance + 1e-3 * torch.rand(len(others))).argmin()]
        return found


def draw(kinds, source, pool, *, jitter=0.1, levels=(0.3, 1.0)):
    """Targets for sources [N,C] (NaN unknown): kinds is a list of N names other than `pair`.

    pool [M,C] holds the AUs that `permuted` draws from. AUs that the source does not label stay NaN."""
    n, c = source.shape
    target = source.clone()
    low, high = levels
    others = pool[torch.randint(len(pool), (n,), device=source.device)]
    amount = torch.rand(n, c, device=source.device)
    chosen = torch.randint(c, (n,), device=source.device)
    known = ~torch.isnan(source)
    for i in torch.nonzero(~known[torch.arange(n, device=source.device), chosen] & known.any(1)).flatten().tolist():
        chosen[i] = torch.nonzero(known[i]).flatten()[chosen[i] % known[i].sum()]
    for i, kind in enumerate(kinds):
        if kind == "permuted":
            target[i] = (others[i] + (amount[i] * 2 - 1) * jitter).clamp(0, 1)
        elif kind == "single":
            target[i] = 0
            target[i, chosen[i]] = low + (high - low) * amount[i, 0]
        elif kind == "change":
            off = source[i, chosen[i]] >= 0.4  # what is on goes off, what is off comes on
            target[i, chosen[i]] = 0 if off else low + (high - low) * amount[i, 0]
    return torch.where(torch.isnan(target) | ~known, source, target)


def share_out(count, shares):
    """{kind: share} -> `count` kinds in fixed proportion: {'self': 1, 'single': 3}, 8 -> 2 + 6."""
    total = sum(shares.values())
    edges = np.round(np.cumsum([0, *shares.values()]) / total * count).astype(int)
    return [kind for kind, start, end in zip(shares, edges, edges[1:]) for _ in range(end - start)]


@dataclass
class Batch:
    """One step's data; rows of a kind stand together."""

    image: torch.Tensor    # [B,3,S,S]
    label: torch.Tensor    # [B,C] the source's AUs, NaN where unlabelled
    source: torch.Tensor   # [B,C] the same without NaN
    target: torch.Tensor   # [B,C] without NaN; equals source where unlabelled
    kinds: list            # B names
    answer: torch.Tensor = None  # [P,3,S,S] true images of the rows of kind `pair`
    double: torch.Tensor = None  # [P,3,S,S] other images with these rows' AUs, for systems that ask for them

    def kind_rows(self, kind):
        """slice of the rows of a kind, or None."""
        return slice(self.kinds.index(kind), self.kinds.index(kind) + self.kinds.count(kind)) \
            if kind in self.kinds else None


def make_batch(data, pairs, system, size, flip=True, levels=(0.3, 1.0)):
    """Draw a batch from `data` (lib.device_data.Set): kinds as config.shares says; without pairs, their rows
    go to the other kinds."""
    shares = dict(system.shares)
    if not pairs.count:
        shares.pop("pair", None)
    kinds = share_out(size, shares)
    paired = kinds.count("pair")
    kinds.sort(key=lambda kind: kind != "pair")
    rows = pairs.rows(size)
    if paired:
        rows[:paired], answers = pairs.draw(paired)
    label = data.aus[rows]
    source = torch.nan_to_num(label)
    target = draw(kinds, label, data.aus, jitter=system.config.noisy_targets, levels=levels)
    image, answer, double = data.images(rows), None, None
    if paired:
        target[:paired] = data.aus[answers]
        answer = data.images(answers)
        if system.config.doubles:
            double = data.images(pairs.doubles(rows[:paired]))
    target = torch.where(torch.isnan(target) | torch.isnan(label), source, target)  # unknown: unchanged
    if flip:
        mirrored = (torch.rand(size, 1, 1, 1) < 0.5).to(image.device)
        image = torch.where(mirrored, image.flip(3), image)
        if paired:
            answer = torch.where(mirrored[:paired], answer.flip(3), answer)
            double = None if double is None else torch.where(mirrored[:paired], double.flip(3), double)
    return Batch(image, label, source, target, kinds, answer, double)
