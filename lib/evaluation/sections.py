"""Where a number stands in a report."""


def value_at(report, where):
    """report[a][b][c], None where any of them is missing. report: a dict or None; where: keys."""
    for key in where:
        report = report.get(key) if isinstance(report, dict) else None
    return report
