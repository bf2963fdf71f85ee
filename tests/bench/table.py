"""Measurements become tables in Markdown."""

from statistics import median, quantiles

from rows import QUOTIENTS


def costs(results, cell, name, what="cost"):
    """The figures of one proxy by slice; slices without one are left out."""
    found = (one for one in results if (one["row"], one["variant"]) == cell and one["proxy"] == name)
    return {one["slice"]: one[what] for one in found if what in one}


def wholes(results, cell, name):
    """What a connection costs to its end, by slice, where that was measured beside its beginning."""
    opened, left = costs(results, cell, name), costs(results, cell, name, "leaving")
    return {number: opened[number] + left[number] for number in left}


def show(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def figure(values, show=show):
    """The median, and between what the middle half lies."""
    values = list(values)
    if len(values) < 2:
        return show(values[0]) if values else "—"
    low, middle, high = quantiles(values, method="inclusive")
    return f"{show(middle)} ({show(low)}–{show(high)})"


def quotients(above, below, factor=1.0):
    """Within each slice, since a machine's seconds differ more than its proxies."""
    return [factor * above[number] / below[number] for number in above if below.get(number)]


def show_ratio(value):
    return f"{value:.2f}"


def ratio(mine, theirs):
    ratios = quotients(mine, theirs)
    return median(ratios) if ratios else None


def verdict(text, reached, most=None, least=None):
    if reached is None:
        return f"{text}: not measured"
    reached = round(reached, 2)  # as it is shown
    missed = reached / most - 1 if most is not None else 1 - reached / least
    return f"{text}: missed by {100 * missed:.0f} % ({reached:.2f})" if missed > 0 else f"{text}: met ({reached:.2f})"


def aim(mine, theirs, aims):
    """What is aimed for, and whether it is met."""
    told = []
    for limit, name in aims:
        reached = ratio(mine, theirs(name)) if name else (median(mine.values()) if mine else None)
        told.append(verdict(f"≤ {limit:g} × {name}" if name else f"≤ {limit:g}", reached, most=limit))
    return "; ".join(told)


def line(cells):
    return f"| {' | '.join(cells)} |"


def lines(*heads):
    return [line(heads), line(["---"] * len(heads))]


def table(results, cells, proxies):
    """`cells` are (row, variant)."""
    compared = [name for name in ("before", "nginx", "floor-copy", "floor-shared") if name in proxies]
    text = lines("work", *proxies, *(f"gate ÷ {name}" for name in compared), "aim")
    for row, variant in cells:
        cell = (row.key, variant.name)
        # Where the gate alone was measured, the others' figures are those of the row above.
        others = (row.key, variant.name if variant.beside is None else variant.beside)
        theirs = lambda name: costs(results, cell if name == "before" else others, name)
        mine = costs(results, cell, "gate")
        figures = [figure(costs(results, cell, name).values()) for name in proxies]
        told = [figure(quotients(mine, theirs(name)), show_ratio) for name in compared]
        text.append(line([row.title_of(variant), *figures, *told, aim(mine, theirs, variant.aims)]))
        to_the_end = {name: wholes(results, cell, name) for name in proxies}
        if any(to_the_end.values()):
            figures = [figure(whole.values()) for whole in to_the_end.values()]
            gate = to_the_end.get("gate", {})
            told = [figure(quotients(gate, to_the_end[name]), show_ratio) for name in compared]
            text.append(line([f"{row.title_of(variant)}, and its end", *figures, *told, ""]))
    return "\n".join(text)


def computed(results, proxies):
    """What follows from two rows of one slice."""
    text = []
    for one in QUOTIENTS:
        values = {
            name: quotients(costs(results, one.above, name), costs(results, one.below, name), one.factor)
            for name in proxies
        }
        if not any(values.values()):
            continue
        gate = values.get("gate")
        limit = f"≤ {one.most:g}" if one.most is not None else f"≥ {one.least:g}"
        told = verdict(limit, median(gate) if gate else None, one.most, one.least)
        figures = [figure(values[name], show_ratio) for name in proxies]
        text.append(line([one.title, *figures, told]))
    return "\n".join(["", *lines("computed", *proxies, "aim"), *text]) if text else ""


def latencies(results, cells, proxies):
    """p99 from the media server's write to the viewer's read, where it was measured."""
    timed = [(row, variant) for row, variant in cells if any("p99" in one for one in results if one["row"] == row.key)]
    if not timed:
        return ""
    text = ["", *lines("p99 from server to viewer, µs", *proxies, "gate − nginx", "aim")]
    for row, variant in timed:
        by_name = {name: costs(results, (row.key, variant.name), name, "p99") for name in proxies}
        gate, nginx = by_name.get("gate", {}), by_name.get("nginx", {})
        added = [gate[number] - nginx[number] for number in gate if number in nginx]
        told = "not measured" if not added else "met" if median(added) <= 0 else "missed"
        difference = f"{median(added):+.0f}" if added else "—"
        figures = [figure(by_name[name].values()) for name in proxies]
        text.append(line([row.title_of(variant), *figures, difference, f"≤ nginx: {told}"]))
    return "\n".join(text)


def mishaps(results, cells):
    """What could not be measured, and connections that failed or did not close. Nothing when all went well."""
    titles = {(row.key, variant.name): row.title_of(variant) for row, variant in cells}
    told = []
    for one in results:
        where = f"{titles.get((one['row'], one['variant']), one['row'])}: {one['proxy']}, slice {one['slice'] + 1}"
        if "error" in one:
            told.append(f"- {where}: not measured: {one['error'].strip().splitlines()[-1]}")
        elif bad := one.get("bad"):
            told.append(f"- {where}: {bad:.0f} connections failed or did not close, beside {one['units']:.0f} that did")
    return "\n".join(["", "What went wrong:", "", *told]) if told else ""
