"""FERG-DB: 55,767 renders of six cartoon characters with seven expressions.

    python -m lib.datasets.ferg_db ROOT --out DIR

    aia/aia_anger/aia_anger_1.png  characters aia bonnie jules malcolm mery ray; anger disgust fear
                                   joy neutral sadness surprise

A character is a subject, `ferg-aia`; joy is `happiness`. Labels come with the data, so source is
`real`. Aneja, Colburn, Faigin, Shapiro, Mones: Modeling Stylized Character Expressions via Deep
Learning (2016).
"""
from dataclasses import dataclass

from lib.cli import arg, run
from lib.datasets import folder, importing


@dataclass(kw_only=True)
class Options(folder.Options):
    images: str = arg(r"**/{subject}/{subject}_{expression:[a-z]+}/*", metavar="TEMPLATE",
                      help="where the images lie")
    prefix: str = arg("ferg-", help="before each subject")


def collect(options):
    """The collection of all characters' images."""
    return folder.collect(options, "FERG-DB")


if __name__ == "__main__":
    run(lambda: importing.main(Options, collect, __doc__))
