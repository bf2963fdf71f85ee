"""Measurements become a table in Markdown."""

from statistics import median


def costs(results, cell, name, what="cost"):
    """The figures of one proxy by round; rounds without one are left out."""
    found = (one for one in results if (one["row"], one["variant"]) == cell and one["proxy"] == name)
    return {one["round"]: one[what] for one in found if what in one}


def show(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def figure(values):
    """Median and range."""
    if not values:
        return "—"
    middle, low, high = median(values), min(values), max(values)
    return show(middle) if len(values) == 1 else f"{show(middle)} ({show(low)}–{show(high)})"


def ratio(mine, theirs):
    """The median of the ratios within each round, since a machine's rounds differ more than its proxies."""
    ratios = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
    return median(ratios) if ratios else None


def aim(results, cell, limits):
    """What is aimed for, and whether it is met."""
    mine, told = costs(results, cell, "gate"), []
    for limit, name in limits:
        if name:
            reached, text = ratio(mine, costs(results, cell, name)), f"≤ {limit:g} × {name}"
        else:
            reached, text = (median(mine.values()) if mine else None), f"≤ {limit:g}"
        if reached is None:
            told.append(f"{text}: not measured")
        elif reached <= limit:
            told.append(f"{text}: met ({reached:.2f})")
        else:
            told.append(f"{text}: missed by {100 * (reached / limit - 1):.0f} % ({reached:.2f})")
    return "; ".join(told)


def line(cells):
    return f"| {' | '.join(cells)} |"


def table(results, cells, proxies):
    """`cells` are (row, variant, title, aims)."""
    compared = [name for name in ("nginx", "floor-copy", "floor-shared") if name in proxies]
    heads = ["work", *proxies, *(f"gate ÷ {name}" for name in compared), "aim"]
    lines = [line(heads), line(["---"] * len(heads))]
    for row, variant, title, limits in cells:
        cell = (row, variant)
        ratios = (ratio(costs(results, cell, "gate"), costs(results, cell, name)) for name in compared)
        figures = [figure(costs(results, cell, name).values()) for name in proxies]
        told = [f"{one:.2f}" if one else "—" for one in ratios]
        lines.append(line([title, *figures, *told, aim(results, cell, limits) if limits else ""]))
    return "\n".join(lines)


def latencies(results, cells, proxies):
    """p99 from the media server's write to the viewer's read, where it was measured."""
    timed = [cell for cell in cells if any("p99" in one for one in results if one["row"] == cell[0])]
    if not timed:
        return ""
    heads = ["p99 from server to viewer, µs", *proxies, "added by the gate over nginx"]
    lines = ["", line(heads), line(["---"] * len(heads))]
    for row, variant, title, _ in timed:
        by_name = {name: costs(results, (row, variant), name, "p99") for name in proxies}
        figures = [figure(by_name[name].values()) for name in proxies]
        gate, nginx = by_name.get("gate", {}), by_name.get("nginx", {})
        added = [gate[number] - nginx[number] for number in gate if number in nginx]
        lines.append(line([title, *figures, f"{median(added):+.0f}" if added else "—"]))
    return "\n".join(lines)
