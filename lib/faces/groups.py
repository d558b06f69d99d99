"""Does the reader of photographs err more on some people? Measured on rendered people, whose skin
and sex are known.

    python -m lib.faces.groups --reader runs/models/reader.onnx --people 300 > groups.json

Skin is grouped by the luminance of its albedo: the darkest, the middle and the lightest third of
the people drawn; sex by the head model's phenotype. Each person shows FRAMES behaviours as in
photographs. Rendered skin is no real skin: a difference here is a warning, and none here is no
proof.
"""

from dataclasses import dataclass

import numpy as np

from lib.cli import arg, log, parse, run
from lib.faces.photo_editor import SHIPPED
from lib.faces.photos_report import LUMA, RESAMPLES, interval

FRAMES = 5  # pictures of a person
PRESENT = 0.4  # FACS level B: from here on an AU counts as shown


@dataclass
class Options:
    reader: str = arg(str(SHIPPED), help="reader of AUs", metavar="FILE.onnx")
    people: int = arg(300, help="rendered people", least=3)
    seed: int = arg(
        71, help="of people and resamples; another than that of the reader's training", least=0
    )


def plan_of(people, seed, size):
    """A plan of FRAMES pictures a person, framed as registration does."""
    from dataclasses import replace

    from lib.rendering import plan

    drawn = plan.draw(
        "test_natural", seed, people * FRAMES, people, "wild", 20.0, "world", "tight"
    )
    return replace(drawn, person=np.arange(people * FRAMES) // FRAMES)


def kinds(plan, shapes):
    """Of each person: (luminance of the skin's albedo, whether the head is male), arrays [P]."""
    drawn = [plan.geometry_and_look(int(person), shapes) for person in np.unique(plan.person)]
    return (
        np.array([float(np.asarray(look["skin"]) @ LUMA) for _, look in drawn]),
        np.array([geometry["phenotypes"]["gender"] > 0.5 for geometry, _ in drawn]),
    )


def groups_of(luminance, male):
    """{group: bool [P]}."""
    low, high = np.quantile(luminance, (1 / 3, 2 / 3))
    return {
        "skin, darkest third": luminance < low,
        "skin, middle third": (luminance >= low) & (luminance < high),
        "skin, lightest third": luminance >= high,
        "women": ~male,
        "men": male,
    }


def orders(truth, scores):
    """Areas under the ROC curve [A] of AUs that are shown; NaN for an AU that hardly anybody
    shows, or everybody."""
    found = np.full(truth.shape[1], np.nan)
    for k in range(truth.shape[1]):
        on = truth[:, k] >= PRESENT
        if 3 <= on.sum() <= len(on) - 3:
            shown, rest = scores[on, k, None], scores[~on, k]
            found[k] = ((shown > rest) + 0.5 * (shown == rest)).mean()
    return found


def order(truth, scores):
    """The mean of `orders` over the AUs that have one."""
    found = orders(truth, scores)
    return np.nan if np.isnan(found).all() else float(np.nanmean(found))


def known(value):
    """A number for a report; None for NaN."""
    return None if np.isnan(value) else round(value, 4)


def section(truth, scores, person, groups, seed):
    """{group: people, mean_absolute_error, auc, each with its interval over people}. truth,
    scores: [N,A]."""
    draw, table = np.random.default_rng(seed), {}
    error = np.abs(truth - scores).mean(1)
    of_person = np.array([error[person == p].mean() for p in np.unique(person)])
    for name, members in groups.items():
        rows = np.flatnonzero(members[person])
        means = of_person[members]
        again = [
            means[draw.integers(len(means), size=len(means))].mean() for _ in range(RESAMPLES)
        ]
        own = np.flatnonzero(members)
        aucs = []
        for _ in range(RESAMPLES // 10):
            chosen = np.concatenate(
                [np.flatnonzero(person == p) for p in draw.choice(own, len(own))]
            )
            aucs.append(order(truth[chosen], scores[chosen]))
        table[name] = {
            "people": int(members.sum()),
            "mean_absolute_error": round(float(means.mean()), 4),
            "interval": interval(again),
            "auc": known(order(truth[rows], scores[rows])),
            "auc_interval": interval(aucs),
        }
    return table


def main(argv=None):
    options = parse(Options, __doc__, argv)
    from lib.files import to_json
    from lib.onnx_runtime import Model, au_scores
    from lib.rendering import farm
    from lib.rendering.units import NAMES

    reader = Model.open(options.reader, "cpu", 1, kind="classifier")
    plan = plan_of(options.people, options.seed, reader.image_size)
    pictures = farm.render(plan, reader.image_size)
    scores = au_scores(reader, reader.predict(pictures, what="reading"))
    columns = [NAMES.index(name) for name in reader.aus]
    luminance, male = kinds(plan, farm.studio(reader.image_size, "cpu").heads.shapes)
    table = section(
        plan.levels[:, columns], scores, plan.person, groups_of(luminance, male), options.seed
    )
    aucs = {
        name: known(float(value))
        for name, value in zip(reader.aus, orders(plan.levels[:, columns], scores))
    }
    print(
        to_json(
            {
                "reader": options.reader,
                "people": options.people,
                "pictures": len(plan),
                "aucs": aucs,
                "groups": table,
            }
        ),
        end="",
    )
    log(f"{len(plan)} pictures of {options.people} people")


if __name__ == "__main__":
    run(main)
