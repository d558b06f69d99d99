"""Classifiers taught on one data set, on another, or on both, each tested on both (Niinuma et al.
2022, tables 5 and 6), as one table.

    python -m lib.evaluation.source_table
           real-home/seed1/report_home.json real-home/seed1/report_other.json …
           --learnt real-home=real-home/train.csv … --out table.md

A report's place is …/<condition>/seed<k>/report_<test>.json; predictions_<test>.csv stands beside
it. A row is a condition, in the order given: how many images it learnt from, and on each test F1
and ICC (means over AUs, mean ± standard deviation over seeds), and the difference of ICC to the
first condition with a paired bootstrap interval over people (of the means over seeds).
"""

from dataclasses import dataclass
from pathlib import Path

from lib import manifest
from lib.cli import BadInput, arg, parse, run
from lib.evaluation import bootstrap, comparison, paired
from lib.files import write_text


@dataclass
class Options:
    reports: list[str] = arg(
        args=["reports"],
        nargs="+",
        metavar="REPORT.json",
        help="…/<condition>/seed<k>/report_<test>.json, the condition to compare with first",
    )
    learnt: list[str] = arg(
        [],
        nargs="+",
        metavar="CONDITION=FILE.csv[,FILE.csv]",
        help="the manifests that a condition learnt from, which are counted",
    )
    out: str = arg(
        "-", help="where the Markdown goes; - is stdout", metavar="FILE.md", writes="file"
    )


def sizes(learnt):
    """{condition: how many images} of --learnt."""
    found = {}
    for text in learnt:
        condition, equals, paths = text.partition("=")
        if not (condition and equals and paths):
            raise BadInput(f"--learnt {text}: say CONDITION=FILE.csv")
        found[condition] = sum(len(manifest.read(path)) for path in paths.split(","))
    return found


def grouped(paths):
    """{condition: {test: [(path, Run)]}}, seeds in order; BadInput for a report out of place, or
    where a condition lacks a test or reports of a test differ in the data they were tested on."""
    found = {}
    for path in paths:
        one = comparison.read(path)
        if not one.preset:
            raise BadInput(
                f"{path}: is not at …/<condition>/seed<k>/report_<test>.json; evaluate it there"
            )
        found.setdefault(one.condition, {}).setdefault(one.test, []).append((path, one))
    first = next(iter(found.values()))
    for condition, tests in found.items():
        if set(tests) != set(first):
            raise BadInput(
                f"{condition}: has reports of {', '.join(tests)}, and the first condition of "
                f"{', '.join(first)}; give the same tests of all"
            )
        for test, members in tests.items():
            check_data(members, first[test][0])
            members.sort(key=lambda member: comparison.in_order(member[1].seed))
    return found


def check_data(members, first):
    """BadInput where one of the reports [(path, Run)] was made on other data than the first; a
    report that does not say on which is let be."""
    path, one = first
    for other, member in members:
        digests = [each.report.get("data", {}).get("digest") for each in (one, member)]
        if None not in digests and digests[0] != digests[1]:
            raise BadInput(
                f"{other}: was tested on other data than {path}; "
                "evaluate all conditions on the same test"
            )


class Test:
    """A test set's columns of the table."""

    def __init__(self, name, members):
        """members: [(path, Run)] of the condition that the others are compared with."""
        self.name, self.first = name, predictions(members, name)
        self.check_images(self.first)
        self.people = bootstrap.People.of(self.first[0].subjects)

    def check_images(self, files):
        """BadInput where one of the files has other images than the first of the table."""
        for file in files:
            if file.images != self.first[0].images:
                raise BadInput(
                    f"{file.name}: is of other images than {self.first[0].name}; "
                    "evaluate all conditions on the same test"
                )

    def icc(self, files):
        """Of the mean ICC over files and that over those of the first condition: (each resample
        [B], the whole test) of either, over the same AUs."""
        both = paired.alike([*files, *self.first])
        resampled, point = paired.numbers_of_all(both, self.people), paired.points(both)
        parts = slice(len(files)), slice(len(files), None)
        return [(paired.averaged(resampled[part])["ICC"], paired.averaged(point[part])["ICC"])
                for part in parts]

    def head(self):
        """Headings."""
        return [f"{self.name}: F1", "ICC", "ICC - first row", "95 % interval"]

    def cells(self, members):
        """A condition's F1, ICC, and difference to the first condition."""
        means = [run.report["au"]["mean"] for _, run in members]
        out = [
            comparison.spread([mean["f1"] for mean in means]),
            comparison.spread([mean["icc"] for mean in means], 1),
        ]
        files = predictions(members, self.name)
        if [file.name for file in files] == [file.name for file in self.first]:
            return [*out, "–", "–"]
        self.check_images(files)
        (resampled, point), (of_first, point_of_first) = self.icc(files)
        bounds = bootstrap.difference(resampled, of_first, self.people)["interval"]
        return [
            *out,
            f"{point - point_of_first:+.3f}",
            " to ".join(f"{bound:+.3f}" for bound in bounds) if bounds else "undefined",
        ]


def predictions(members, test):
    """The predictions beside reports [(path, Run)], a file a seed."""
    return [
        paired.Predictions.read(Path(path).with_name(f"predictions_{test}.csv"))
        for path, _ in members
    ]


def table(paths, learnt=()):
    """Markdown."""
    conditions, images = grouped(paths), sizes(learnt)
    first = next(iter(conditions.values()))
    tests = [Test(name, members) for name, members in first.items()]
    head = ["learnt from", "images", "seeds", *(text for test in tests for text in test.head())]
    rows = [
        [
            name,
            str(images.get(name, "–")),
            str(len(members[tests[0].name])),
            *(cell for test in tests for cell in test.cells(members[test.name])),
        ]
        for name, members in conditions.items()
    ]
    said = [
        f"{test.name}: {len(test.first[0].images)} images of {test.people.count} people."
        for test in tests
    ]
    return "\n".join(
        [
            *comparison.markdown(head, rows),
            "",
            " ".join(said) + f" {len(tests[0].first[0].aus)} AUs. F1 in per cent, mean ± sd over "
            "seeds. Intervals: paired bootstrap over people.",
        ]
    )


def main(argv=None):
    options = parse(Options, __doc__, argv)
    write_text(options.out, table(options.reports, options.learnt) + "\n")


if __name__ == "__main__":
    run(main)
