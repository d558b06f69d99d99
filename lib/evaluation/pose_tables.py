"""Tables of Niinuma et al. 2022, 4.3 and 4.6, for `evaluate.py --compare`: ICC by registration and by pose.

Read from reports made with `evaluate.py --by yaw pitch`: the cell at 0, 0 is the frontal test of their table 2, the
nine cells are their figure 5. Means are over AUs, then over seeds (± standard deviation, divided by n - 1). The
paper's own table and figure are pictures; its text has one figure for them, ICC 0.525 for synthetic-3d on FERA 2017.
"""
import numpy as np

COLUMNS = ["yaw", "pitch"]
ORDER = ["real-2d", "synthetic-2d", "real-3d", "synthetic-3d", "turned-2d"]  # other conditions follow
PAPER = "ICC 0.525 (synthetic-3d on FERA 2017, 7 AUs, VGG16 fine-tuned from ImageNet)"


def is_by_pose(report):
    """Whether a report has what these tables show."""
    return report.get("by", {}).get("columns") == COLUMNS


def tables(conditions, title, markdown):
    """Markdown text: one table of the frontal test, one of all poses.

    conditions: {name: reports of its seeds}; title: what they are about; markdown(head, rows): lines of a table."""
    names = sorted(conditions, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    cells = {name: [by_pose(report) for report in conditions[name]] for name in names}
    poses = sorted({pose for seeds in cells.values() for one in seeds for pose in one})
    parts = [*frontal(names, cells, title, markdown)] if (0.0, 0.0) in poses else []
    return "\n".join([*parts, *grids(names, cells, poses, title, markdown)])


def by_pose(report):
    """{(yaw, pitch): cell of the report}, degrees."""
    return {tuple(float(cell["at"][name]) for name in COLUMNS): cell for cell in report["by"]["cells"]}


def frontal(names, cells, title, markdown):
    """The frontal test: a row a condition, a column an AU."""
    first = cells[names[0]][0][0.0, 0.0]
    aus, rows = list(first["per_au"]), []
    for name in names:
        seeds = [one[0.0, 0.0] for one in cells[name]]
        rows.append([name, str(len(seeds)), *(mean([one["per_au"][au]["icc"] for one in seeds]) for au in aus),
                     mean([one["mean"]["icc"] for one in seeds]), mean([one["mean"]["mae"] for one in seeds]),
                     found(seeds)])
    return [f"{title}: ICC(3,1) on frontal test frames", "",
            *markdown(["condition", "seeds", *aus, "mean ICC", "mean MAE", "frames"], rows), "",
            f"The paper's table 2: {PAPER}.", ""]


def grids(names, cells, poses, title, markdown):
    """All poses: three rows a condition (pitch), a column a yaw; then the mean over all poses."""
    yaws, pitches, rows = sorted({yaw for yaw, _ in poses}), sorted({pitch for _, pitch in poses}, reverse=True), []
    for name in names:
        for k, pitch in enumerate(pitches):
            row = [[one[yaw, pitch] for one in cells[name] if (yaw, pitch) in one] for yaw in yaws]
            every = [np.mean([cell["mean"]["icc"] for cell in one.values() if cell["mean"]["icc"] is not None] or [np.nan])
                     for one in cells[name]]
            rows.append([name if k == 0 else "", f"{pitch:g}",
                         *(f"{mean([cell['mean']['icc'] for cell in seeds])} ({found(seeds)})" for seeds in row),
                         mean(every) if k == 0 else ""])
    return [f"{title}: mean ICC(3,1) by pose", "",
            *markdown(["condition", "pitch", *(f"yaw {yaw:g}" for yaw in yaws), "mean of poses"], rows), "",
            "Degrees; yaw < 0 turns the nose to the picture's left, pitch < 0 lowers it. In brackets: test frames in "
            "which the face was found, of all."]


def mean(values):
    """'0.525 ± 0.010' over seeds; None is left out and said."""
    defined = [value for value in values if value is not None and value == value]
    if not defined:
        return "undefined"
    text = f"{round(np.mean(defined), 3) + 0.0:.3f}" + (f" ± {np.std(defined, ddof=1):.3f}" if len(defined) > 1 else "")
    return text + (f" ({len(values) - len(defined)} undefined)" if len(defined) < len(values) else "")


def found(seeds):
    """'88 of 90' test frames, which are the same for all seeds."""
    return f"{seeds[0]['n']} of {seeds[0]['of']}" if seeds else "none"
