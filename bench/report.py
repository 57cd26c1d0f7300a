"""The tables of what was measured, for a terminal and as a page."""

from collections.abc import Iterable, Iterator
from statistics import median

from rich.table import Table

from bench.figure import Profile, number
from bench.goals import verdict
from bench.results import PartResult, Results

HEAD = ("what", "how", "median", "lowest–highest", "goal", "")

RATIO_HEAD = ("what", "base", "this", "ratio", "lowest–highest", "mark", "")
BEGIN, END = "<!-- section: ", "<!-- end -->"

AGAINST = """\
Written by `make bench-against BASE={base}`: both commits are installed from their own locks, run on their own stacks on
one machine, and are measured in turns (A B, B A, …). Figures are medians of the rounds; a ratio is the median of the
rounds' ratios. Other processes slow both down alike: on a busy machine, only the ratios are meaningful.
"""

ABOUT = """\
# Benchmarks

`make bench` writes this page. The broker, the database, the workers and the load client share one machine. Each figure
is the median of several rounds. Figures that are compared with each other come from one run, which measured them in
turns. Other programs on the machine disturb the rates, so compare ratios and CPU times rather than rates of different
runs. The goals are in [bench/goals.py](../bench/goals.py).

Other pages have the measurements behind decisions, and the commands that reproduce them:
[commands](benchmarks/commands.md), [transactions](benchmarks/transactions.md), [throughput](benchmarks/throughput.md),
[projector](benchmarks/projector.md), [queries](benchmarks/queries.md), [replay](benchmarks/replay.md),
[MongoDB](benchmarks/mongodb.md) and [Python builds](benchmarks/python.md).
"""


def as_tables(results: Results) -> Iterator[Table]:
    """Yield one table per part for a terminal, then the tables of CPU times."""
    for part in results.parts.values():
        table = Table(*HEAD, title=part.title, title_justify="left")
        for row in _rows(part):
            table.add_row(*row)
        if part.failed:
            table.caption = f"failed: {part.failed}"
        yield table
    for each, profiles in _by_unit(results).items():
        table = Table(*_cpu_head(profiles), title=f"CPU ms per {each}", title_justify="left")
        for row in _cpu_rows(profiles):
            table.add_row(*row)
        yield table


def as_markdown(results: Results, machine: str, versions: str) -> str:
    """Return the page."""
    lines = [ABOUT, f"{machine} · {versions}", "", *_summary(results)]
    for name, part in results.parts.items():
        lines += ["", f"## {part.title}", "", f"`python -m bench {name}` · {part.date} · {part.conditions}", ""]
        lines += _markdown(HEAD, _rows(part)) if part.figures() else []
        if part.failed:
            lines += ["", f"**This part failed, figures are missing:** {part.failed}"]
    for each, profiles in _by_unit(results).items():
        lines += ["", f"## CPU ms per {each}", "", *_markdown(_cpu_head(profiles), _cpu_rows(profiles))]
    return "\n".join(lines) + "\n"


def comparison(results: Results, base: str, about: str) -> str:
    """Return the section of the page that compares this checkout with another one."""
    lines = [f"## Against {base}, measured in turns", "", AGAINST.format(base=base), about, ""]
    judged = [word for row in ratio_rows(results) if (word := row[-1])]
    lines += [f"**{judged.count('reached')} of {len(judged)} marks reached.**", ""]
    lines += [*_markdown(RATIO_HEAD, ratio_rows(results)), ""]
    for name, part in results.parts.items():
        lines.append(f"- `{name}`: {part.date}, {part.conditions}")
        if part.failed:
            lines.append(f"  **This part failed, figures are missing:** {part.failed}")
    for each, profiles in _by_unit(results).items():
        lines += ["", f"CPU ms per {each}:", "", *_markdown(_cpu_head(profiles), _cpu_rows(profiles))]
    return "\n".join(lines)


def ratio_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each ratio, with the columns of `RATIO_HEAD`."""
    for part in results.parts.values():
        for one in part.ratios():
            base, ours = (f"{number(median(values))} {one.unit}".strip() for values in (one.base, one.ours))
            yield (one.what, base, ours, f"{number(one.median)} ×", one.spread, *verdict(one))


def sections(page: str) -> str:
    """Return the sections of a page that other commands than `make bench` write."""
    return page[page.index(BEGIN) - 1 :] if BEGIN in page else ""


def with_section(page: str, name: str, text: str) -> str:
    """Return `page` with the section `name` replaced, or added at its end."""
    begin, section = f"{BEGIN}{name} -->\n", f"{BEGIN}{name} -->\n{text}\n{END}"
    if begin not in page:
        return f"{page.rstrip()}\n\n{section}\n"
    before, _, after = page.partition(begin)
    return before + section + after.partition(END)[2]


def _summary(results: Results) -> list[str]:
    judged = [(figure, *verdict(figure)) for figure in results.figures()]
    judged = [one for one in judged if one[1]]
    missed = [(figure, goal) for figure, goal, word in judged if word == "not reached"]
    lines = [f"**{len(judged) - len(missed)} of {len(judged)} goals reached.**" if judged else ""]
    if missed:
        lines += ["", "Not reached:", ""]
        lines += [
            f"- {_title(figure.what, figure.how)}: {number(figure.median)} {figure.unit}, the goal is {goal}"
            for figure, goal in missed
        ]
    return lines


def _title(what: str, how: str) -> str:
    return f"{what}, {how}" if how else what


def _rows(part: PartResult) -> Iterator[tuple[str, ...]]:
    for figure in part.figures():
        value = f"{number(figure.median)} {figure.unit}".strip()
        yield (figure.what, figure.how, value, figure.spread, *verdict(figure))


def _by_unit(results: Results) -> dict[str, list[Profile]]:
    units: dict[str, list[Profile]] = {}
    for part in results.parts.values():
        for profile in part.profiles():
            units.setdefault(profile.each, []).append(profile)
    return units


def _cpu_head(profiles: Iterable[Profile]) -> tuple[str, ...]:
    return ("process", *(profile.load for profile in profiles))


def _cpu_rows(profiles: list[Profile]) -> Iterator[tuple[str, ...]]:
    names = dict.fromkeys(name for profile in profiles for name in profile.milliseconds)
    for name in names:
        yield (name, *(f"{profile.milliseconds.get(name, 0):.2f}" for profile in profiles))
    yield ("all", *(f"{sum(profile.milliseconds.values()):.2f}" for profile in profiles))


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
