"""Which images a training step of an editor is given, and the conditions asked of them.

Kinds: `permuted` another sample's conditions (Ling et al. 2020), `single` one condition alone,
`change` one condition of the source set anew, `self` the source's own (the output must be the
input), and `pair` the conditions of another image J of the same person in the same session, so
that J itself is the true image (the idiosyncratic loss of Niinuma et al. 2022 compares with it).
"""
import numpy as np
import torch

from lib.device_data import codes
from lib.generators import conditions

MOST = 2000  # images among which a double, or the source of an isolated pair, is looked for
NEAREST = 3  # an isolated pair's source is drawn among so many


class Pairs:
    """Pairs (I, J) of images of one person in one session (column `session`, else `subject`; `by`
    any: of all).

    A condition is drawn first, evenly, then a J that shows it, then an I of the same session: rare
    AUs are seen as often as common ones. A third of the pairs are swapped, so that AUs are also
    switched off. What either of the two does not label is not asked for; an I that shares no label
    with J gives way to J itself.

    AUs come together, and a rare one then is learnt as part of its company: a dimple as the edge
    of a smile. `isolate` is the share of pairs whose I is one of those that lack the condition and
    otherwise are nearest to J.

    table [N,C]: conditions, NaN unknown; weight [N]: J, and the rows of other kinds, are drawn in
    proportion."""

    def __init__(self, manifest, table, present=0.15, weight=None, by="session", isolate=0.0):
        column = by if by in manifest.columns else "subject"
        group = np.zeros(len(manifest), np.int64) if by == "any" else codes(manifest.text(column))
        even = weight is None or bool((weight == weight[0]).all())
        self.total, self.weight = len(manifest), None if even else weight.double().cpu()
        self.present, self.isolate = present, isolate
        table = table.cpu()
        self.known, self.table = ~torch.isnan(table), torch.nan_to_num(table)  # [N,C]
        usable = (group >= 0) & self.known.any(1).numpy()
        if self.weight is not None:
            usable &= (self.weight > 0).numpy()
        members = [np.flatnonzero(usable & (group == g)) for g in np.unique(group[usable])]
        members = [rows for rows in members if len(rows) > 1]
        self.count = sum(map(len, members))
        if not self.count:
            return
        self.longest = max(map(len, members))
        # [G,M]
        self.members = torch.from_numpy(np.stack([
            np.resize(rows, self.longest) for rows in members
        ]))
        self.size = torch.tensor([len(rows) for rows in members])  # [G]
        home = np.full(len(manifest), -1)
        for g, rows in enumerate(members):
            home[rows] = g
        self.home = torch.from_numpy(home)  # [N]
        shows = (self.table.abs() >= present) & (self.home >= 0)[:, None]
        self.columns = torch.nonzero(shows.any(0)).flatten().tolist()  # what is shown at all
        self.showing = [torch.nonzero(shows[:, k]).flatten() for k in self.columns]
        self.showing = self.showing or [torch.nonzero(self.home >= 0).flatten()]

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
        if self.isolate and self.columns:
            for k in torch.nonzero(torch.rand(count) < self.isolate).flatten().tolist():
                i[k] = self.isolated(int(j[k]), self.columns[which[k]], i[k])
        i = torch.where((self.known[i] & self.known[j]).any(1), i, j)
        swap = torch.rand(count) < 1 / 3
        return torch.where(swap, j, i), torch.where(swap, i, j)

    def isolated(self, row, column, usual):
        """An image of the session that shows less of a condition than `row` does, and otherwise is
        like it; `usual` where there is none."""
        others = self.others(row)
        less = self.table[row, column].abs() - self.table[others, column].abs()
        lacks = self.known[others, column] & (less >= self.present)
        others = others[lacks]
        if not len(others):
            return usual
        distance = self.unlikeness(row, others)
        # that one is to differ
        distance -= (self.table[others, column] - self.table[row, column]).abs()
        nearest = distance.topk(min(NEAREST, len(others)), largest=False).indices
        return others[nearest[torch.randint(len(nearest), (1,))]]

    def others(self, row):
        """int64 [M]: the other images of a row's session; of large ones MOST, drawn."""
        others = self.members[self.home[row], :self.size[self.home[row]]]
        if len(others) > MOST:
            others = others[torch.randint(len(others), (MOST,))]
        return others[others != row]

    def unlikeness(self, row, others):
        """[M]: sum over the row's labels of |difference|, 1 where the other lacks one; ties fall
        at random."""
        distance = torch.where(self.known[others], (self.table[others] - self.table[row]).abs(),
                               1.0)
        return distance[:, self.known[row]].sum(1) + 1e-3 * torch.rand(len(others))

    def doubles(self, rows):
        """int64 [P]: for each row of a session another of the session, whose AUs are the nearest;
        drawn where several are. In large sessions it is the nearest of MOST that are drawn
        first."""
        found = torch.empty_like(rows)
        for k, row in enumerate(rows):
            others = self.others(row)
            found[k] = others[self.unlikeness(row, others).argmin()]
        return found


def draw(kinds, source, pool, labels, *, jitter=0.1, levels=(0.3, 1.0), clamp=True):
    """Targets for sources [N,C] (NaN unknown): kinds is a list of N names other than `pair`.

    permuted   another image's conditions, from pool [M,C]; AUs, valence and arousal with U(±jitter)
    single     one condition: an AU at a level, the others at 0; or a class; or a value of valence
               or arousal
    change     one condition changed: an AU that is on goes off, and the reverse; or another class,
               another value
    self       the source's own
    What the source does not label stays NaN. levels: (lowest, highest) of an AU; clamp: keep
    jittered values in range."""
    n, c = source.shape
    target = source.clone()
    others = pool[torch.randint(len(pool), (n,), device=source.device)]
    amount = torch.rand(n, c, device=source.device)
    chosen = torch.randint(c, (n,), device=source.device)
    known = ~torch.isnan(source)
    unknown = ~known[torch.arange(n, device=source.device), chosen] & known.any(1)
    for i in torch.nonzero(unknown).flatten().tolist():
        chosen[i] = torch.nonzero(known[i]).flatten()[chosen[i] % known[i].sum()]
    low, high = conditions.limits(labels, source)
    wide = torch.tensor([kind != "expression" for kind in labels.kinds], device=source.device)
    for i, kind in enumerate(kinds):
        if kind == "permuted":
            target[i] = others[i] + (amount[i] * 2 - 1) * jitter * wide
            if clamp:
                target[i] = torch.minimum(torch.maximum(target[i], low), high)
        elif kind in ("single", "change"):
            k = int(chosen[i])
            alone = labels.columns(labels.kinds[k])
            if labels.kinds[k] == "va":
                target[i, k] = amount[i, 0] * 2 - 1
                continue
            level = (levels[0] + (levels[1] - levels[0]) * amount[i, 0] if labels.kinds[k] == "au"
                     else 1.0)
            if kind == "single" or labels.kinds[k] == "expression":
                target[i, alone] = 0
                target[i, k] = level
            else:
                off = source[i, k] >= 0.4  # what is on goes off, what is off comes on
                target[i, k] = 0 if off else level
    return torch.where(torch.isnan(target) | ~known, source, target)


def share_out(count, shares):
    """{kind: share} -> `count` kinds in fixed proportion: {'self': 1, 'single': 3}, 8 -> 2 + 6."""
    total = sum(shares.values())
    edges = np.round(np.cumsum([0, *shares.values()]) / total * count).astype(int)
    return [kind for kind, start, end in zip(shares, edges, edges[1:]) for _ in range(end - start)]
