"""Aff-Wild2 (the ABAW challenges): videos with valence and arousal, expressions and twelve AUs
(occurrence).

    python -m lib.datasets.aff_wild2 ROOT --out DIR --drop-unlabelled

    AU_Detection_Challenge/Train_Set/video59_left.txt         a header, then a line a frame:
                                                              0,1,-1,…
    EXPR_Classification_Challenge/Train_Set/video59_left.txt  0 to 7, -1
    VA_Estimation_Challenge/Validation_Set/video59_left.txt   0.1,-0.2 or -5,-5
    cropped_aligned/video59_left/00001.jpg                    data line i, from 1, is image i;
                                                              images may be missing
    older: AU_Set, VA_Set, Expression_Set in place of the challenges

`_left` and `_right` of a two-person video are two videos and two people. The three tasks are
joined by video and frame. They do not share their partitions: `va_partition`,
`expression_partition`, `au_partition` say each one's, and `partition` is theirs where they agree,
else `mixed`. Who is who across videos is not known: each video is a subject of its own unless
--subjects says more. Kollias, Zafeiriou: Aff-Wild2: Extending the Aff-Wild Database for Affect
Recognition (2018).
"""
from dataclasses import dataclass

from lib.cli import BadInput, arg, progress, run
from lib.datasets import importing, videos
from lib.datasets.layouts import Tree, affect, cell, expression, occurrence, whole
from lib.labels import au_name, parse_au

TASKS = {"va": "va_partition", "expression": "expression_partition", "au": "au_partition"}
AUS = tuple(au_name(number) for number in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))
EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    tasks: list[str] = arg(["va", "expression", "au"], nargs="+", help="which labels",
                           choices=list(TASKS))
    va: str = arg("**/{task:VA[^/]*}/{part:Train[^/]*|Valid[^/]*}/{video}.txt", metavar="TEMPLATE",
                  help="valence and arousal files")
    expression: str = arg("**/{task:EXPR[^/]*}/{part:Train[^/]*|Valid[^/]*}/{video}.txt",
                          metavar="TEMPLATE", help="expression files")
    au: str = arg("**/{task:AU[^/]*}/{part:Train[^/]*|Valid[^/]*}/{video}.txt", metavar="TEMPLATE",
                  help="AU files")
    subjects: str = arg("", metavar="FILE.csv", help="who is in which video: columns video,subject")


def columns_of(task, header):
    """The columns that a file's header names; the challenge's own order where it names none."""
    words = [word.strip() for word in header.split(",")]
    if task == "va":
        return ("arousal", "valence") if words[0].lower() == "arousal" else ("valence", "arousal")
    if task == "expression":
        names = tuple(expression(word) for word in words)
        return names if "neutral" in names else EXPRESSIONS
    try:
        return tuple(parse_au(word) for word in words)
    except ValueError:
        return AUS


def read_task(tree, path, task):
    """(columns, {frame: cells}) of one file; None when it has no data line."""
    lines = tree.text(path).splitlines()
    names = columns_of(task, lines[0]) if lines else ()
    out, known = {}, {}
    for frame, text in enumerate(lines[1:], 1):
        if text not in known:  # a video has few different lines
            known[text] = read_line(text.strip(), task, names, path, frame + 1)
        if known[text]:
            out[frame] = known[text]
    return (("expression",) if task == "expression" else names, out) if out else None


def read_line(text, task, names, path, line):
    """One frame's cells, None for a blank line."""
    if not text:
        return None
    words = text.split(",")
    if task == "expression":
        code = cell(whole, words[0], path, line)
        if not -1 <= code < len(names):
            raise BadInput(f"{path}: line {line}: {code} is no expression (0 to {len(names) - 1}, "
                           "-1 for missing); correct the line")
        return ("" if code < 0 else names[code],)
    if len(words) != len(names):
        raise BadInput(
            f"{path}: line {line} has {len(words)} values, not {len(names)}; correct the line"
        )
    parse = affect if task == "va" else occurrence
    return tuple(cell(parse, word, path, line) for word in words)


def collect(options):
    """The collection of all labelled videos, the tasks joined."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "Aff-Wild2", au_kind="occurrence")
    files = [(task, path, parts)
             for task in options.tasks for path, parts in tree.find(getattr(options, task))]
    if not files:
        tree.need(options.va, "--va, --expression, --au")
    known, parts_of = {}, {}  # video -> [(columns, labels)], video -> {task's column: partition}
    for task, path, parts in progress(files, what="labels", unit="file"):
        if not (read := read_task(tree, path, task)):
            collection.drop(path, "empty label file")
            continue
        known.setdefault(parts["video"], []).append(read)
        part = "train" if parts["part"].lower().startswith("train") else "validation"
        parts_of.setdefault(parts["video"], {})[TASKS[task]] = part
    images = videos.frames(options, tree, "**/{video}/{frame:d}.*", ["video"], collection,
                           prefer="cropped_aligned/")
    people = videos.people(options.subjects)
    found = []
    for video, tasks in known.items():
        names = sum((columns for columns, _ in tasks), ())
        blank = [("",) * len(columns) for columns, _ in tasks]
        frames = sorted(set().union(*(labels for _, labels in tasks)))
        rows = {frame: sum((labels.get(frame, none) for (_, labels), none in zip(tasks, blank)), ())
                for frame in frames}
        agreed = set(parts_of[video].values())
        cells = {"subject": f"affwild2-{people.get(video, video)}",
                 "partition": agreed.pop() if len(agreed) == 1 else "mixed"} | parts_of[video]
        found.append(videos.Video(video, names, rows, images.get((video,), {}), cells))
    videos.add_videos(collection, found, images=images)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
