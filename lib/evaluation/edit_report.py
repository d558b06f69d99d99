"""How good an editing generator is on pairs: a source image, target AUs, and the true image of the
same person.

Readings of AUs come from a judge, a classifier that no training has seen. With r(x) its reading of
image x:

    fulfilment of the target AU  (r(edited) - r(source)) / (r(true) - r(source)), sums over pairs
    leakage into other AUs       mean |r(edited) - r(true)|
    distance to the true image   mean |edited - true| where true and source differ,
                                 against mean |source - true|
    change elsewhere             mean |edited - source| where they do not
    change of the whole picture  mean |edited - source|, as asked for, and where nothing is asked
                                 for (a target that keeps all of the source's values)
    the value asked              PCC and MAE of the target's value against r(edited), r(true)
    image quality                PSNR and SSIM to the true image (lib.evaluation.image_quality)
    the person                   cosine of an identity embedding's features of edited and source
                                 image, of true and source image, and of the edited image and
                                 the true image of another person (lib.evaluation.identity);
                                 only where one is given

Distances are in levels of 255, over the three channels. The region where true and source differ:
some channel by more than REGION levels, grown by one pixel.
"""
import json
from dataclasses import dataclass, field

import numpy as np

from lib import images
from lib.cli import BadInput, note
from lib.evaluation import image_quality, metrics, sample_report
from lib.evaluation.edit_targets import CALLED, CHANGED, asked_of
from lib.evaluation.metrics import mean, ratio
from lib.manifest import reference
from lib.onnx_runtime import reference_images

REGION = 8        # levels of 255 from which on a pixel counts as truly changed
LEAST_RISE = 0.02  # mean true rise in the judge's reading below which fulfilment is undefined


@dataclass
class Pairs:
    """What `run` found, N pairs in the order of the rows used."""
    data: object                # the manifest, rows in use
    # what the judge reads: AUs, expressions, or valence and arousal; A names
    aus: list
    target_au: list             # name of each pair's target, one of these
    direction: np.ndarray       # +1 or -1 [N]: the target rises or falls
    source: np.ndarray          # judge's readings [N,A] of the source images
    edited: np.ndarray          # … of the edited ones
    true: np.ndarray            # … of the true ones
    asked: np.ndarray           # value of the target asked for [N]
    quality: dict               # name -> {"edited", "unedited"} -> float [N], see image_quality
    # {"edited", "true", "other"} -> likeness [N], see person_kept; {} without an embedding
    person: dict
    # {"asked", "nothing_asked"} -> change of the whole picture [N], in levels of 255
    change: dict
    pixels: dict                # name -> float [N], in levels of 255; NaN where a region is empty
    pictures: dict              # 'source', 'edited', 'true' -> uint8 [N,H,W,3]
    kind: str = "au"            # au | expression | va
    wanted: np.ndarray = None   # [N,K] target values of that kind, NaN where not asked
    notes: dict = field(default_factory=dict)

    @property
    def subject(self):
        return self.data.text("subject")


def run(model, judge, data, batch=64, identity=None):
    """Edit every pair's source image and let the judge read source, edited and true image. Returns
    Pairs.

    identity: an embedding of people (a Model that gives `features`), or None.

    Pairs without a target that the judge knows are left out and said. All three images are judged
    at the generator's size, so that none is sharper than another."""
    if not model.edits:
        raise BadInput(f"{model.path}: samples images from noise; "
                       "--pairs needs a generator that edits images")
    asked = asked_of(model, judge, data)
    usable = asked.usable()
    if not usable.any():
        raise BadInput(f"{data.name}: no pair has a target {CALLED[asked.kind]} that both "
                       f"{model.path} and {judge.path} know")
    if not usable.all():
        note(f"{data.name}: {(~usable).sum()} of {len(data)} pairs left out: "
             f"no target {CALLED[asked.kind]} stands out that generator and judge know")
    rows, data = np.flatnonzero(usable), data.take(usable)
    empty = [row for row, path in zip(rows, data.columns["true_path"]) if not path]
    if empty:
        raise BadInput(f"{data.name}: row {empty[0] + 2}, column true_path is empty; "
                       "name the true image or drop the row")
    size = model.image_size
    before = images.load_all(data.images(), size, "sources")
    true = images.load_all([reference(data.folder, path) for path in data.columns["true_path"]],
                           size, "true images")
    source, target = asked.source[rows], asked.target[rows]
    edited, kept = (
        model.predict(before, batch, "editing", ["edited"], source=source, target=each)["edited"]
        for each in (target, np.full_like(target, np.nan)))
    compared = reference_images(judge, data)
    readings = {name: read(judge, asked.output, pictures, batch, compared)
                for name, pictures in (("source", before), ("edited", edited), ("true", true))}
    index, region = asked.index[rows], changed_region(before, true)
    return Pairs(
        data, asked.judged, [asked.names[i] for i in index],
        np.sign(asked.direction[rows, index]), **readings,
        asked=target[:, model.labels.columns(asked.kind)][np.arange(len(rows)), index],
        quality=image_quality.quality(before, edited, true, region),
        person=person_kept(identity, before, edited, true, data.text("subject"), batch),
        change={name: np.abs(made.astype(np.float32) - before).mean((1, 2, 3))
                for name, made in (("asked", edited), ("nothing_asked", kept))},
        pixels=pixel_distances(before, edited, true, region),
        pictures={"source": before, "edited": edited, "true": true}, kind=asked.kind,
        wanted=target[:, model.labels.columns(asked.kind)],
        notes={"pairs_left_out": int((~usable).sum())}
    )


def person_kept(identity, source, edited, true, people, batch):
    """{"edited", "true", "other"}: likeness of edited and source image, of true and source image,
    and of the edited image and another person's true image, float [N]; {} without an embedding.

    people: N names. `other` says how alike strangers are; NaN where the person has no name."""
    if identity is None:
        return {}
    features = {name: sample_report.features(identity, pictures, batch)
                for name, pictures in (("source", source), ("edited", edited), ("true", true))}
    partner = strangers(people)
    other = image_quality.likeness(features["edited"], features["true"][partner])
    return {**{name: image_quality.likeness(features[name], features["source"])
               for name in ("edited", "true")}, "other": np.where(partner >= 0, other, np.nan)}


def strangers(people):
    """For each of N images one of another person, int [N]; -1 where there is none, or where the
    person has no name.

    A fixed permutation: images in the order of their people, shifted by as many as one person has
    at most."""
    people = np.array(people)
    named = np.flatnonzero(people != "")
    partner = np.full(len(people), -1)
    if len(named):
        _, codes, counts = np.unique(people[named], return_inverse=True, return_counts=True)
        order = named[np.argsort(codes, kind="stable")]
        shifted = np.roll(order, -counts.max())
        partner[order] = np.where(people[order] != people[shifted], shifted, -1)
    return partner


def read(judge, output, pictures, batch, references=None):
    """The judge's readings, float64 [N,A]; references: of each picture's person, where the judge
    compares."""
    found = judge.predict(pictures, batch, "judging", [output], reference=references)
    return found[output].astype(np.float64)


def changed_region(source, true):
    """bool [N,H,W]: where some channel differs by more than REGION levels, grown by one pixel (3 x
    3)."""
    differs = (np.abs(source.astype(np.int16) - true) > REGION).any(3)
    padded = np.pad(differs, ((0, 0), (1, 1), (1, 1)))
    height, width = differs.shape[1:]
    return np.logical_or.reduce([padded[:, y:y + height, x:x + width]
                                 for y in range(3) for x in range(3)])


def pixel_distances(source, edited, true, region=None):
    """Mean absolute differences in levels of 255, float [N]: `edited` and `unedited` to the true
    image inside the truly changed region, `outside` what the edit changed elsewhere. NaN where
    that region is empty.

    region: `changed_region` of source and true image, where it is at hand."""
    if region is None:
        region = changed_region(source, true)
    source, edited, true = (pictures.astype(np.float32) for pictures in (source, edited, true))

    def apart(first, second, mask):
        return image_quality.within(np.abs(first - second).mean(3), mask)

    return {"edited": apart(edited, true, region), "unedited": apart(source, true, region),
            "outside": apart(edited, source, ~region), "region_share": region.mean((1, 2))}


def judge_correlations(path):
    """{AU: pcc} from the judge's own report (evaluate.py --test)."""
    try:
        with open(path, encoding="utf-8") as file:
            per_au = json.load(file)["au"]["per_au"]
        return {name: row["pcc"] for name, row in per_au.items()}
    except FileNotFoundError:
        raise BadInput(f"{path}: no such report; write it with evaluate.py "
                       "--model judge.onnx --test …") from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: not the report of an AU classifier; "
                       "write it with evaluate.py --test") from None


def measure(pairs, correlation=None, least=0.6):
    """The report's sections `protocol`, `edits` {per_au, summary}.

    correlation: {AU: the judge's pcc}, or None to let every AU into the summary; least: pcc an AU
    needs. Expressions and feelings have rows of the same form (readings are probabilities, or
    values), and figures of their own."""
    correlation = correlation if pairs.kind == "au" else None
    readable = [name for name in pairs.aus if correlation is None
                or (correlation.get(name) is not None and correlation[name] >= least)]
    per_au = {name: one_au(pairs, name, readable, correlation)
              for name in pairs.aus if name in pairs.target_au}
    protocol = {
        "task": "editing", "kind": pairs.kind, "judged_aus": pairs.aus,
        "aus_in_summary": [n for n in per_au if n in readable],
        "min_correlation": least if correlation is not None else None, "region_from_level": REGION,
        "region_grown_by": 1, "distance_unit": "levels of 255",
        "target": "the expression asked for" if pairs.kind == "expression"
                  else f"the {CALLED[pairs.kind]} that changes most, by more than {CHANGED}",
        "leakage_over": "AUs that the judge reads well enough", **pairs.notes
    }
    sections = {"per_au": per_au, "summary": summary(per_au, readable)}
    if pairs.kind == "expression":
        sections["expression"] = expression_figures(pairs)
    if pairs.kind == "va":
        sections["va"] = feeling_figures(pairs)
    return {"protocol": protocol, "edits": sections}


def expression_figures(pairs):
    """How often the judge's most probable class is the one asked for, in edits and in the true
    images; each class counts alike in the means."""
    asked = np.array([pairs.aus.index(name) for name in pairs.target_au])
    hits = {name: getattr(pairs, name).argmax(1) == asked for name in ("source", "edited", "true")}
    per_class = {pairs.aus[k]: {name: float(hit[asked == k].mean()) for name, hit in hits.items()}
                 for k in np.unique(asked)}
    return {"read_as_asked": per_class,
            "mean": {name: mean([row[name] for row in per_class.values()]) for name in hits}}


def feeling_figures(pairs):
    """CCC and mean absolute error of the judge's readings to the values asked for, over all pairs
    that ask."""
    found = {}
    for k, name in enumerate(pairs.aus):
        rows = ~np.isnan(pairs.wanted[:, k])
        wanted = pairs.wanted[rows, k].astype(np.float64)
        found[name] = {"n": int(rows.sum()),
                       **{f"ccc_{kind}": metrics.ccc(wanted, getattr(pairs, kind)[rows, k])
                          for kind in ("source", "edited", "true")},
                       **{f"mae_{kind}": mean(np.abs(wanted - getattr(pairs, kind)[rows, k]))
                          for kind in ("source", "edited", "true")}}
    return found


def one_au(pairs, name, readable, correlation):
    """Numbers on the pairs whose target is one AU."""
    rows = np.array([target == name for target in pairs.target_au])
    k = pairs.aus.index(name)
    sign = pairs.direction[rows]
    rise = float(np.mean(sign * (pairs.edited[rows, k] - pairs.source[rows, k])))
    true_rise = float(np.mean(sign * (pairs.true[rows, k] - pairs.source[rows, k])))
    away = np.abs(pairs.edited[rows] - pairs.true[rows]).mean(0)  # [A]
    others = [i for i, other in enumerate(pairs.aus) if other != name]
    well_read = [i for i in others if pairs.aus[i] in readable]
    leakage = mean(away[well_read])
    pixels = {key: mean(values[rows]) for key, values in pairs.pixels.items()}
    return {"n": int(rows.sum()),
            "judge_pcc": None if correlation is None else correlation.get(name), "rise": rise,
            "true_rise": true_rise,
            "fulfilment": rise / true_rise if true_rise >= LEAST_RISE else None,
            "leakage": leakage, "leakage_all": mean(away[others]),
            "leakage_ratio": ratio(leakage, rise),
            "l1_edited": pixels["edited"], "l1_unedited": pixels["unedited"],
            "l1_ratio": ratio(pixels["edited"], pixels["unedited"]),
            "outside_change": pixels["outside"], "region_share": pixels["region_share"],
            "asked": value_asked(pairs, rows, k),
            "quality": {key: {which: mean(values[rows]) for which, values in each.items()}
                        for key, each in pairs.quality.items()},
            "person": {which: mean(values[rows]) for which, values in pairs.person.items()},
            "change": {which: mean(values[rows]) for which, values in pairs.change.items()}}


def value_asked(pairs, rows, k):
    """PCC and MAE of the value asked for against the judge's reading of label k, of edited and of
    true images."""
    asked = pairs.asked[rows]
    readings = {which: getattr(pairs, which)[rows, k] for which in ("edited", "true")}
    return {which: {"pcc": metrics.pcc(asked, reading), "mae": metrics.mae(asked, reading)}
            for which, reading in readings.items()}


def nested_means(rows, key):
    """Means over AUs of a section {name: {name: number or None}} or {name: number or None} of
    their rows."""
    found = {}
    for name, value in (rows[0][key] if rows else {}).items():
        if isinstance(value, dict):
            found[name] = {inner: mean([row[key][name][inner] for row in rows
                                        if row[key][name][inner] is not None]) for inner in value}
        else:
            found[name] = mean([row[key][name] for row in rows if row[key][name] is not None])
    return found


def summary(per_au, readable):
    """Over the AUs that the judge reads well; each AU counts alike. Ratios are ratios of means."""
    rows = [row for name, row in per_au.items() if name in readable]
    fulfilments = [row["fulfilment"] for row in rows if row["fulfilment"] is not None]
    means = {key: mean([row[key] for row in rows if row[key] is not None])
             for key in ("rise", "true_rise", "leakage", "l1_edited", "l1_unedited",
                         "outside_change")}
    return {"aus": len(rows), "fulfilment_undefined": len(rows) - len(fulfilments),
            "fulfilment_mean": mean(fulfilments), "fulfilment_median": median(fulfilments),
            "share_half_fulfilled": mean([value >= 0.5 for value in fulfilments]),
            "share_third_fulfilled": mean([value >= 1 / 3 for value in fulfilments]), **means,
            "leakage_ratio": ratio(means["leakage"], means["rise"]),
            "l1_ratio": ratio(means["l1_edited"], means["l1_unedited"]),
            **{key: nested_means(rows, key) for key in ("asked", "quality", "person", "change")}}


def table(pairs):
    """One row a pair, for --predictions: the target AU, the judge's readings of it, and the
    distances."""
    k = [pairs.aus.index(name) for name in pairs.target_au]
    rows = np.arange(len(k))
    return {"path": None, "subject": pairs.subject, "target": pairs.target_au,
            **{f"{name}_reading": getattr(pairs, name)[rows, k].tolist()
               for name in ("source", "edited", "true")},
            **{f"l1_{name}" if name != "outside" else "outside_change": values.tolist()
               for name, values in pairs.pixels.items() if name != "region_share"}}


def median(values):
    """The median, or None of nothing."""
    return float(np.median(values)) if len(values) else None
