"""How well photographs are read and edited, as others see it: one report on anybody's photographs.

    python -m lib.faces.photos_report --photos photos.csv --editor editor.onnx --reader reader.onnx
    \\
        --judges data/judges/node_modules/@vladmandic/face-api/model --sheet sheet.png >
        report.json

photos.csv: `path`, and `expression`, what somebody saw in the face (neutral, happiness, surprise,
sadness, anger). reading: the area under the ROC curve of AUs that belong to an emotion, against
neutral faces. edits: neutral faces changed to each emotion; how many of them an independent
network takes for it, beside how many real photographs of it; whether an embedding takes them for
the same person; fine detail, colour of grey photographs, and what lies outside the face. Intervals
(95 %) are over photographs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import images, manifest
from lib.cli import BadInput, arg, log, parse, progress, run
from lib.faces import align, judges, landmarks, models, paste, reading
from lib.faces.photo_editor import SHIPPED, PhotoEditor

# AUs of an emotion that a reader should rank above those of neutral faces
PAIRS = (
    ("happiness", "AU12"),
    ("happiness", "AU06"),
    ("surprise", "AU01"),
    ("surprise", "AU02"),
    ("surprise", "AU05"),
    ("surprise", "AU26"),
    ("anger", "AU04"),
    ("anger", "AU07"),
    ("sadness", "AU15"),
    ("sadness", "AU01"),
    ("sadness", "AU04"),
)
# What neutral faces are changed to
EDITS = {
    "happiness": ("AU06", "AU12"),
    "surprise": ("AU01", "AU02", "AU05", "AU26"),
    "sadness": ("AU01", "AU04", "AU15"),
    "anger": ("AU04", "AU07", "AU23"),
}
RESAMPLES, FINE, CHANGED, GREY = 1000, 1.5, 3, 1
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SHOWN, SIDE = 8, 144  # rows of the sheet, pixels of its pictures


@dataclass
class Options:
    photos: str = arg(
        help="manifest of photographs with the column expression",
        required=True,
        metavar="FILE.csv",
    )
    judges: str = arg(
        help="folder `model` of the npm package @vladmandic/face-api", required=True, metavar="DIR"
    )
    editor: str = arg("", help="also edit neutral faces with this", metavar="FILE.onnx")
    reader: str = arg(str(SHIPPED), help="reads AUs", metavar="FILE.onnx")
    level: float = arg(0.8, help="to which AUs are set", least=0)
    sheet: str = arg(
        "", help="also write a contact sheet of edits", metavar="FILE.png", writes="file"
    )
    sheet_rows: int = arg(SHOWN, help="people on the sheet", least=1)
    seed: int = arg(0, help="of the resamples", least=0)
    threads: int = arg(1, help="CPU threads of each network", least=1)


def interval(values):
    """[low, high] of 95 % of resampled values; None where none is known."""
    if np.isnan(values).all():
        return None
    return [round(float(value), 4) for value in np.nanpercentile(values, (2.5, 97.5))]


def weights(count, draw):
    """How often each of `count` photographs is in each resample, float [RESAMPLES,count]."""
    return draw.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)


def reading_section(levels, expressions, seed=0):
    """AUC of PAIRS with intervals. levels: [{AU: level}] of the photographs; expressions: array of
    names."""
    groups = {
        name: np.flatnonzero(expressions == name)
        for name in {"neutral", *(emotion for emotion, _ in PAIRS)}
    }
    draw = np.random.default_rng(seed)
    drawn = {name: weights(len(rows), draw) for name, rows in sorted(groups.items()) if len(rows)}
    table, resampled, means = {}, [], []
    for emotion, au in PAIRS:
        if emotion not in drawn or "neutral" not in drawn or au not in levels[0]:
            continue
        shown, rest = (
            np.array([levels[i][au] for i in groups[name]]) for name in (emotion, "neutral")
        )
        # [shown,rest]: pairs in order
        order = (shown[:, None] > rest) + 0.5 * (shown[:, None] == rest)
        again = np.einsum("bi,ij,bj->b", drawn[emotion], order, drawn["neutral"]) / order.size
        table[f"{emotion} {au}"] = {
            "auc": round(float(order.mean()), 4),
            "interval": interval(again),
        }
        resampled.append(again)
        means.append(order.mean())
    if not table:
        return None
    return {
        "pairs": table,
        "mean_auc": round(float(np.mean(means)), 4),
        "interval": interval(np.mean(resampled, 0)),
    }


def fine(photo):
    """What of a photo's brightness is finer than FINE pixels, float [H,W]."""
    grey = photo.astype(np.float32) @ LUMA
    return grey - models.opencv().GaussianBlur(grey, (0, 0), FINE)


def hull(face, shape):
    """Where a photo shows a face, bool [H,W], with a pixel's rim."""
    cv2 = models.opencv()
    outline = cv2.convexHull(face.points[:, :2].astype(np.float32)).round().astype(np.int32)
    return (
        cv2.dilate(cv2.fillConvexPoly(np.zeros(shape, np.uint8), outline, 1), np.ones((3, 3))) > 0
    )


def compare(before, after, face):
    """Numbers of one edit: `detail`, energy of fine detail where it changed, and that of the photo
    there; `outside`, levels of 255 that anything beyond the face changed; `colour`, of a grey
    photo, None for others."""
    change = np.abs(after.astype(int) - before).max(-1)
    inside = hull(face, before.shape[:2])
    moved = (change > CHANGED) & inside
    tint = lambda photo: int(np.ptp(photo.astype(int), axis=-1).max())
    return {
        "detail": (
            float((fine(after)[moved] ** 2).sum()),
            float((fine(before)[moved] ** 2).sum()),
        ),
        "outside": int(change[~inside].max(initial=0)),
        "changed": float(moved.sum() / inside.sum()),
        "colour": tint(after) if tint(before) <= GREY else None,
    }


def edit_all(editor, photos, faces, rows, level):
    """{emotion: [edited photo]} of the photographs `rows`."""
    aus, made = editor.model.labels.conditions, {name: [] for name in EDITS}
    mode = reading.mode_for(editor.model)
    for i in progress(rows, what="editing", unit="photo"):
        found = paste.Found(
            faces[i], mode, *align.register(photos[i], faces[i], mode, editor.model.image_size)
        )
        shown = editor.shown(photos[i], found)
        for name, wanted in EDITS.items():
            target = np.array([[level if au in wanted else np.nan for au in aus]], np.float32)
            made[name].append(editor.edited(photos[i], found, shown, target))
    return made


def share(hits, draw):
    """(share of hits, resampled shares [RESAMPLES])."""
    return float(np.mean(hits)), weights(len(hits), draw) @ np.asarray(hits, float) / len(hits)


def edits_section(made, photos, faces, rows, expressions, judge, seed=0):
    """The section `edits`: for each emotion what the judge sees of edits and of real photographs,
    and their ratio."""
    draw, table = np.random.default_rng(seed), {}
    people = [faces[i] for i in rows]
    own = judge.embeddings([photos[i] for i in rows], people)
    everything = []
    for name, edited in made.items():
        column = judges.EXPRESSIONS.index(name)
        real = np.flatnonzero(expressions == name)
        again = [(landmarks.faces_in(photo) or [face])[0] for photo, face in zip(edited, people)]
        seen, drawn = share(judge.expressions(edited, again).argmax(1) == column, draw)
        before = judge.expressions([photos[i] for i in rows], people).argmax(1) == column
        entry = {
            "edits": round(seen, 4),
            "interval": interval(drawn),
            "unedited": round(float(before.mean()), 4),
        }
        if len(real):
            there, again_real = share(
                judge.expressions([photos[i] for i in real], [faces[i] for i in real]).argmax(1)
                == column,
                draw,
            )
            entry |= {
                "real": round(there, 4),
                "of_real": round(seen / there, 4) if there else None,
                "of_real_interval": interval(drawn / np.maximum(again_real, 1e-9))
                if there
                else None,
            }
        distance = np.linalg.norm(judge.embeddings(edited, again) - own, axis=1)
        figures = [compare(photos[i], photo, face) for i, photo, face in zip(rows, edited, people)]
        entry |= summary(distance, figures)
        everything.append((distance, figures))
        table[name] = entry
    whole = summary(
        np.concatenate([distance for distance, _ in everything]),
        [one for _, figures in everything for one in figures],
    )
    return {"emotions": table, "all": whole, "photographs": len(rows)}


def summary(distance, figures):
    """Identity, detail, colour and what lies outside, over edits."""
    after, before = np.array([one["detail"] for one in figures]).T
    tints = [one["colour"] for one in figures if one["colour"] is not None]
    return {
        "same_person": round(float((distance < judges.SAME_PERSON).mean()), 4),
        "distance": round(float(np.median(distance)), 4),
        "fine_detail": round(float(after.sum() / before.sum()), 4) if before.sum() else None,
        "fine_detail_median": round(float(np.median(after[before > 0] / before[before > 0])), 4)
        if (before > 0).any()
        else None,
        "changed_share_of_face": round(float(np.mean([one["changed"] for one in figures])), 4),
        "outside_most": max(one["outside"] for one in figures),
        "grey_tint_most": max(tints, default=None),
    }


def look(made, photos, faces, rows, count=SHOWN):
    """A sheet: a person a row; the photo, then the edits of EDITS."""
    cut = lambda photo, face: judges.cut(photo, face, SIDE)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    return images.sheet(
        [
            [
                cut(photos[rows[k]], faces[rows[k]]),
                *(cut(made[name][k], faces[rows[k]]) for name in made),
            ]
            for k in chosen
        ]
    )


def read_photos(path):
    """(photos, faces, expressions) of a manifest; those without a face are said and left out."""
    rows = manifest.read(path)
    if "expression" not in rows.columns:
        raise BadInput(
            f"{rows.name}: has no column expression; name what each face shows (neutral, "
            f"{', '.join(EDITS)})"
        )
    photos, faces, names, lost = [], [], [], []
    for reference, name in zip(
        progress(rows.images(), what="finding faces", unit="photo"), rows.text("expression")
    ):
        photo = images.load(reference)
        found = landmarks.faces_in(photo)
        if not found:
            lost.append(Path(reference).name)
            continue
        photos.append(photo)
        faces.append(found[0])
        names.append(name)
    if lost:
        log(f"{rows.name}: no face in {len(lost)} photos, left out: {', '.join(lost[:5])}")
    if not photos:
        raise BadInput(f"{rows.name}: no face found in any photo; give photos where it is larger")
    return photos, faces, np.array(names)


def main(argv=None):
    options = parse(Options, __doc__, argv)
    models.check()
    from lib.files import to_json
    from lib.onnx_runtime import Model

    open_model = lambda path, kind: Model.open(path, "cpu", options.threads, kind=kind)
    reader, judge = (
        open_model(options.reader, "classifier"),
        judges.Judges(options.judges, options.threads),
    )
    photos, faces, expressions = read_photos(options.photos)
    levels = [
        reading.read_face(reader, photo, face)
        for photo, face in zip(progress(photos, what="reading", unit="photo"), faces)
    ]
    report = {
        "photographs": {
            str(name): int((expressions == name).sum()) for name in np.unique(expressions)
        },
        "reader": options.reader,
        "reading": reading_section(levels, expressions, options.seed),
    }
    neutral = np.flatnonzero(expressions == "neutral")
    if options.editor and len(neutral):
        editor = PhotoEditor(open_model(options.editor, "generator"), reader)
        made = edit_all(editor, photos, faces, neutral, options.level)
        report |= {
            "editor": options.editor,
            "level": options.level,
            "edits": edits_section(made, photos, faces, neutral, expressions, judge, options.seed),
        }
        if options.sheet:
            images.save(options.sheet, look(made, photos, faces, neutral, options.sheet_rows))
            log(f"{options.sheet}: columns are the photo, {', '.join(made)}")
    print(to_json(report), end="")


if __name__ == "__main__":
    run(main)
