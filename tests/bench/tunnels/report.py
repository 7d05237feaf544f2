# SPDX-License-Identifier: Apache-2.0
"""What was measured, as a table and as a plot. Ratios are ours over theirs, paired within a round: the geometric mean and its
95 % interval by Student's t."""
import math
import os
import platform
import statistics
from xml.sax.saxutils import escape

OURS = "oci-egress"
# Two-sided 95 % quantiles by degrees of freedom; beyond them the normal one is close enough.
STUDENT = [0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09,
           2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04]

BULK = [("gbit_s", "Gbit/s", 1, True), ("cpu_per_unit", "CPU s/GiB", 1, False)]
LATENCY = [("p50_us", "p50 µs", 1, False), ("p99_us", "p99 µs", 1, False)]


def rates(what):
    return [("per_s", f"{what}s/s", 1, True), ("cpu_per_unit", f"CPU µs/{what}", 1e6, False)] + \
           [(f"{what}_{name}", label, scale, more) for name, label, scale, more in LATENCY]


# test prefix -> (key of a result, label, scale, whether more is better)
METRICS = {
    "bulk": BULK,
    "tunnels": rates("tunnel"),
    "exchanges": rates("exchange"),
    "requests": rates("request"),
    "idle": [("pss_per_tunnel", "bytes/tunnel", 1, False), ("tunnel_p50_us", "new tunnel p50 µs", 1, False),
             ("without_tunnel_p50_us", "the same with none idle", 1, False)],
    "trouble": [("tunnel_p99_us", "new tunnel p99 µs", 1, False), ("exchange_p99_us", "exchange p99 µs", 1, False)],
}


def ordered(names):
    return list(dict.fromkeys(names))


def by_round(results, peer, test, key):
    return {row["round"]: row[key] for row in results if row["peer"] == peer and row["test"] == test and key in row}


def ratio(ours, theirs):
    """(mean, low, high) of ours over theirs; None where no round has both."""
    logs = [math.log(ours[r] / theirs[r]) for r in ours if theirs.get(r, 0) > 0 and ours[r] > 0]
    if not logs:
        return None
    mean = statistics.mean(logs)
    n = len(logs)
    half = STUDENT[min(n - 1, len(STUDENT) - 1)] * statistics.stdev(logs) / math.sqrt(n) if n > 1 else math.inf
    return tuple(math.exp(min(x, 700)) for x in (mean, mean - half, mean + half))


def figure(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rows_of(results):
    """(test, label, key, scale, more) of all that was measured."""
    for test in ordered(row["test"] for row in results):
        for key, label, scale, more in METRICS[test.split("-")[0]]:
            yield test, label, key, scale, more


def medians(results, peers, test, key, scale):
    values = {peer: by_round(results, peer, test, key) for peer in peers}
    return {peer: statistics.median(of.values()) * scale if of else None for peer, of in values.items()}


def figures_table(results, peers):
    lines = ["| | | " + " | ".join(peers) + " |", "|---|---|" + "---:|" * len(peers)]
    for test, label, key, scale, _ in rows_of(results):
        cells = medians(results, peers, test, key, scale)
        lines.append(f"| {test} | {label} | " + " | ".join(figure(cells[peer]) for peer in peers) + " |")
    return lines


def ratio_cell(found, more):
    if not found:
        return "-"
    mean, low, high = found
    worse = high < 1 if more else low > 1
    text = f"{mean:.2f} ({low:.2f}-{high:.2f})" if high < 1e6 else f"{mean:.2f}"
    return f"**{text}**" if worse else text


def ratios_table(results, peers):
    others = [peer for peer in peers if peer != OURS]
    lines = ["| | | " + " | ".join(others) + " |", "|---|---|" + "---:|" * len(others)]
    for test, label, key, _, more in rows_of(results):
        ours = by_round(results, OURS, test, key)
        cells = [ratio_cell(ratio(ours, by_round(results, peer, test, key)), more) for peer in others]
        lines.append(f"| {test} | {label} {'↑' if more else '↓'} | " + " | ".join(cells) + " |")
    return lines


def machine(results):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "?")
    foreign = [row["foreign"] for row in results if "foreign" in row]
    return (f"{os.cpu_count()} CPUs ({cpu}), Linux {platform.release()}; others used {statistics.median(foreign):.2f} CPUs in the median "
            f"of the measurements, {max(foreign):.2f} at most" if foreign else "")


def table(results, options):
    peers = ordered(row["peer"] for row in results)
    peers = [peer for peer in options.peers if peer in peers]
    rounds = 1 + max(row["round"] for row in results)
    lines = [machine(results), "", f"Medians of {rounds} round(s), {options.seconds:g} s each:", "", *figures_table(results, peers)]
    if OURS in peers:
        lines += ["", "oci-egress over each, paired within a round: geometric mean and 95 % interval. ↑: more is better; bold: we are worse.", "",
                  *ratios_table(results, peers)]
    return "\n".join(lines) + "\n"


# -- the plot: one panel per figure, one bar per peer --

WIDTH, COLUMNS, BAR, LABEL = 1120, 4, 13, 74


def bar(x, y, width, name, value, longest):
    colour = "#c0392b" if name == OURS else "#95a5a6" if name == "direct" else "#34699a"
    length = max(1.0, width * value / longest)
    return (f'<text x="{x + LABEL - 4}" y="{y + BAR - 3}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{x + LABEL}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>'
            f'<text x="{x + LABEL + length + 3:.1f}" y="{y + BAR - 3}">{figure(value)}</text>')


def panel(x, y, title, values, more):
    longest = max(values.values()) or 1
    parts = [f'<text x="{x + LABEL}" y="{y + 10}" font-weight="bold">{escape(title)}</text>']
    ranked = sorted(values.items(), key=lambda item: item[1], reverse=more)
    width = WIDTH / COLUMNS - LABEL - 50
    for i, (name, value) in enumerate(ranked):
        parts.append(bar(x, y + 16 + i * BAR, width, name, value, longest))
    return "".join(parts)


def plot(results, options):
    panels = []
    for test, label, key, scale, more in rows_of(results):
        if key.startswith("without_") or "p50" in key:
            continue
        values = {peer: value for peer, value in medians(results, options.peers, test, key, scale).items() if value}
        if values:
            panels.append((f"{test}: {label}", values, more))
    height = 30 + BAR * len(options.peers)
    total = height * ((len(panels) + COLUMNS - 1) // COLUMNS) + 10
    body = "".join(panel(i % COLUMNS * WIDTH / COLUMNS, 4 + i // COLUMNS * height, *p) for i, p in enumerate(panels))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" font-family="sans-serif" font-size="10">'
            f'<rect width="100%" height="100%" fill="white"/>{body}</svg>\n')


def write(directory, results, options):
    if not results:
        return
    for name, text in (("table.md", table(results, options)), ("plot.svg", plot(results, options))):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
