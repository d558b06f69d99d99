"""Tables of Niinuma et al. 2022, 4.3 and 4.6, for `evaluate.py --compare`: ICC by registration and
by pose.

Read from reports made with `evaluate.py --by yaw pitch`: the cell at 0, 0 is the frontal test of
their table 2, the nine cells are their figure 5. Means are over AUs, then over seeds (± standard
deviation, divided by n - 1). The paper's own table and figure are pictures; what its text says of
them is in published.csv.
"""
from lib.cli import BadInput
from lib.evaluation import published
from lib.evaluation.metrics import mean

COLUMNS = ["yaw", "pitch"]
SET = "registration"  # of published.csv


def is_by_pose(report):
    """Whether a report has what these tables show."""
    return report.get("by", {}).get("columns") == COLUMNS


def tables(conditions, title, markdown, spread):
    """Markdown text: one table of the frontal test, one of all poses.

    conditions: {name: reports of its seeds}; title: what they are about; markdown(head, rows):
    lines of a table; spread(values, scale): mean and standard deviation as text."""
    names = sorted(conditions, key=by_registration)
    cells = {name: [by_pose(report) for report in conditions[name]] for name in names}
    poses = sorted({pose for seeds in cells.values() for one in seeds for pose in one})
    parts = [*frontal(names, cells, title, markdown, spread)] if (0.0, 0.0) in poses else []
    return "\n".join([*parts, *grids(names, cells, poses, title, markdown, spread)])


def by_registration(name):
    """A sorting key: 'real-2d', 'synthetic-2d', 'real-3d', …, real images before others of their
    registration; the paper's third scenario, turned faces, comes after both registrations."""
    images, _, registration = name.rpartition("-")
    return images.startswith("turned"), registration, images != "real", name


def paper():
    """What the paper's text says of these tables, as a sentence."""
    found = published.about(SET, "frontal")
    figures = [f"{row['value']} ({row['condition']}, {row['table']})" for row in found]
    return (f"{found[0]['work']} on FERA 2017, 7 AUs, VGG16 fine-tuned from ImageNet: "
            f"ICC {', '.join(figures)}.")


def by_pose(report):
    """{(yaw, pitch): cell of the report}, degrees; BadInput where a pose is no number."""
    try:
        return {tuple(float(cell["at"][name]) for name in COLUMNS): cell
                for cell in report["by"]["cells"]}
    except ValueError as error:
        where = report.get("data", {}).get("path", "a report")
        raise BadInput(f"{where}: a yaw or pitch of --by is no number of degrees ({error}); fill "
                       "these cells and evaluate again") from None


def frontal(names, cells, title, markdown, spread):
    """The frontal test: a row a condition, a column an AU."""
    first = cells[names[0]][0][0.0, 0.0]
    aus, rows = list(first["per_au"]), []
    for name in names:
        seeds = [one[0.0, 0.0] for one in cells[name]]
        rows.append([name, str(len(seeds)),
                     *(spread([one["per_au"][au]["icc"] for one in seeds], 1) for au in aus),
                     spread([one["mean"]["icc"] for one in seeds], 1),
                     spread([one["mean"]["mae"] for one in seeds], 1), frames(seeds)])
    return [f"{title}: ICC(3,1) on frontal test frames", "",
            *markdown(["condition", "seeds", *aus, "mean ICC", "mean MAE", "frames"], rows), "",
            paper(), ""]


def grids(names, cells, poses, title, markdown, spread):
    """All poses: three rows a condition (pitch), a column a yaw; then the mean over all poses."""
    yaws, pitches, rows = sorted({yaw for yaw, _ in poses}), sorted(
        {pitch for _, pitch in poses}, reverse=True
    ), []
    for name in names:
        every = [mean([cell["mean"]["icc"] for cell in one.values()]) for one in cells[name]]
        for k, pitch in enumerate(pitches):
            row = [[one[yaw, pitch] for one in cells[name] if (yaw, pitch) in one] for yaw in yaws]
            rows.append([
                name if k == 0 else "", f"{pitch:g}",
                *(f"{spread([cell['mean']['icc'] for cell in seeds], 1)} ({frames(seeds)})"
                  for seeds in row), spread(every, 1) if k == 0 else ""
            ])
    return [f"{title}: mean ICC(3,1) by pose", "",
            *markdown(["condition", "pitch", *(f"yaw {yaw:g}" for yaw in yaws),
                       "mean of poses"], rows), "",
            "Degrees; yaw < 0 turns the nose to the picture's left, pitch < 0 lowers it. "
            "In brackets: test frames in which the face was found, of all."]


def frames(seeds):
    """'88 of 90' test frames, which are the same for all seeds."""
    return f"{seeds[0]['n']} of {seeds[0]['of']}" if seeds else "none"
