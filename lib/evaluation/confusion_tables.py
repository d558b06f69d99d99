"""Which expression is read as which: a table of each condition that reads expressions."""

from lib.evaluation.sections import value_at

CONFUSION = ("expression", "confusion")


def tables(conditions, headline, markdown):
    """Markdown of one table a condition, '' where no report has expressions.

    conditions: {name: reports of its seeds}; headline: what stands before the condition's name;
    markdown(headings, rows): lines. Rows are the truth; a cell is the share of its images that are
    read as the column, in per cent, of the images of all seeds together."""
    texts = []
    for name, reports in conditions.items():
        found = [value_at(report, CONFUSION) for report in reports]
        classes = [report.get("expression", {}).get("names") for report in reports]
        if all(found) and all(names == classes[0] for names in classes):
            texts.append(table(found, classes[0], f"{headline} {name}", markdown))
    return "\n\n".join(texts)


def table(confusions, names, headline, markdown):
    """One table: counts [E,E] of each seed, summed."""
    rows = []
    for k, name in enumerate(names):
        counts = [sum(one[k][j] for one in confusions) for j in range(len(names))]
        total = sum(counts)
        cells = [f"{100 * count / total:.0f}" if total else "–" for count in counts]
        rows.append([name, str(total // len(confusions)), *cells])
    return "\n".join([headline, "", *markdown(["truth", "images", *names], rows), "",
                      "Rows: the truth. Columns: what is read, per cent of the row"
                      + (f", mean of {len(confusions)} seeds." if len(confusions) > 1 else ".")])
