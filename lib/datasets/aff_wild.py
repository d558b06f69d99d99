"""Aff-Wild: 298 videos with traces of valence and arousal; AU labels of one's own may join them
(Richer 3.1).

    python -m lib.faces.register ROOT/videos/train/* --out FRAMES
    python -m lib.datasets.aff_wild ROOT --images-root FRAMES --trace-fps 24 --out DIR
    python -m lib.datasets.aff_wild ROOT --images-root FRAMES --fps 30 --trace-fps 24 --out DIR

The first is for frames with times, the second for folders of frames.

    annotations/train/valence/105.txt, arousal/105.txt  one value a line, in [-1, 1]
    videos/train/105.mp4                                to be extracted into one folder a video
    105.csv (--au-labels)                               optional: frame,AU1,AU2,… with 0 and 1,
                                                        frames from 1

Traces come at their own rate, --trace-fps (else one value a frame), and are interpolated linearly.
Frames that lib.faces took from videos of any rates have their times, at which traces are read; a
trace may then go on after the last face. Of folders of frames the rate is --fps; then up to two
trailing values are trimmed, or the last one is repeated. A trace further off its video is dropped
with its video, and said. A video whose last frames have no image (no face was found) may pass
--longer: then what is too long is cut off. Who is who: --subjects (video,subject); without it each
video is a subject of its own, which may leak. Zafeiriou et al.: Aff-Wild: Valence and Arousal
in-the-wild Challenge (2017).
"""
from dataclasses import dataclass

import numpy as np

from lib.cli import BadInput, arg, note, progress, run
from lib.datasets import importing, videos
from lib.datasets.bp4d import read_occurrence
from lib.datasets.layouts import Tree, affect, cell
from lib.manifest import number


@dataclass(kw_only=True)
class Options(videos.VideoOptions):
    valence: str = arg("**/valence/{video}.txt", metavar="TEMPLATE", help="the valence traces")
    arousal: str = arg("**/arousal/{video}.txt", metavar="TEMPLATE", help="the arousal traces")
    au_labels: str = arg("", metavar="TEMPLATE",
                         help="AU occurrence files, e.g. '**/aus/{video}.csv'")
    trace_fps: float = arg(0.0, help="values a second of the traces; 0: one value a frame")
    scale: float = arg(1.0, help="the traces' largest value, e.g. 1000")
    longer: bool = arg(False, help="cut a trace that is longer than its video, however much")
    subjects: str = arg("", metavar="FILE.csv", help="who is in which video: columns video,subject")

    def __post_init__(self):
        super().__post_init__()
        if self.trace_fps and not self.fps and not self.images_root:
            raise ValueError("--trace-fps wants --fps, the rate of the frames")


def read_trace(collection, tree, path, scale):
    """float64 [N] in [-1, 1], NaN where missing, of one value a line; None when there is none."""
    values = []
    for line, text in tree.lines(path):
        value = cell(float, text.split(",")[-1], path, line)
        value = cell(affect, text.split(",")[-1] if scale == 1 else str(value / scale), path, line)
        values.append(float(value or "nan"))
    if not values:
        collection.drop(path, "empty label file")
    return np.array(values) if values else None


def fitted(collection, trace, path, frames, options):
    """A trace's values as {frame from 1: cell} of a video's frames, {number: (path, cells)}; {}
    when it does not fit, which is said. Frames with times first."""
    times = videos.times(frames)
    if times is None and options.trace_fps and not options.fps:
        raise BadInput(f"{options.images_root}: frames without times; say their rate with --fps")
    if times is not None:
        out, wanted = at_times(collection, trace, times, videos.first_number(frames) or 0,
                               options.trace_fps)
    else:
        # frames there are, from 1, though some have no image
        wanted = max(frames) + (1 if 0 in frames else 0)
        if options.trace_fps:
            trace = videos.resample(trace, options.trace_fps, options.fps)
        fit = videos.fit(trace[:wanted] if options.longer else trace, wanted)
        out = None if fit is None else dict(enumerate(fit, 1))
    if out is None:
        note(f"{path}: {len(trace)} values for {wanted} frames; see --trace-fps and --longer")
        collection.drop(path, "trace longer or shorter than its video")
        return {}
    return {frame: number(value) for frame, value in out.items()}


def at_times(collection, trace, times, first, rate, tolerance=2):
    """({frame from 1: value}, None) of a trace with `rate` values a second, 0: one a frame, at the
    times of {number, counted from `first`: seconds}; (None, values that it lacks) when it ends
    more than `tolerance` before. What goes on after the last time is cut and counted, for a rate
    that is wrong shows there alone."""
    numbers = np.array(list(times))
    at = np.array(list(times.values())) * rate if rate else numbers - float(first)
    near = np.round(at)
    at = np.where(abs(at - near) <= 1e-4 * rate, near, at)  # times have four decimals
    wanted = int(np.ceil(at.max())) + 1
    if len(trace) + tolerance < wanted:
        return None, wanted
    if len(trace) > wanted + tolerance:
        collection.notes["traces that go on after their video's last face, cut "
                         "(if by much: see --trace-fps)"] += 1
    return dict(zip((numbers + 1 - first).tolist(), videos.values_at(trace, at))), wanted


def collect(options):
    """The collection of all videos with a trace."""
    tree = Tree(options.root)
    collection = importing.Collection(options, "Aff-Wild", au_kind="occurrence")
    traces = {name: {parts["video"]: path
                     for path, parts in tree.need(getattr(options, name), f"--{name}")}
              for name in ("valence", "arousal")}
    coded = ({parts["video"]: path for path, parts in tree.find(options.au_labels)}
             if options.au_labels else {})
    images = videos.frames(options, tree, "**/{video}/*{frame:d}.*", ["video"], collection)
    people = videos.people(options.subjects)
    found = []
    for (video,), frames in progress(images.items(), what="labels", unit="video"):
        columns = {}
        for name, files in traces.items():
            trace = (read_trace(collection, tree, files[video], options.scale) if video in files
                     else None)
            values = trace is not None and fitted(collection, trace, files[video], frames, options)
            if values:
                columns[name] = values
        if video in coded:
            columns |= read_occurrence(tree, coded[video], collection)
        if columns:
            cells = {"subject": f"affwild-{people.get(video, video)}"}
            found.append(videos.Video(video, *videos.join(columns), frames, cells))
    for video in sorted(set().union(*traces.values()) - {video for video, in images}):
        collection.drop(video, "no frames of this video")
    videos.add_videos(collection, found, images=images)
    return collection


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
