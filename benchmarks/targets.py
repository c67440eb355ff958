"""The targets of the project for speed, and whether measured numbers meet them."""

import statistics

from cases import CNN, CNN64, MLP, VQ
from training import BARE, FIT_IN_FOLDER, PEERS, PYTHAE, Measured, ratio

AGAINST = ("the bare scan", "Pythae stock", "the best tuned PyTorch", "the matrix ceiling")
TARGETS: dict[str, tuple[float | None, ...]] = {
    MLP: (0.95, 2.7, 1.1, 0.70),
    CNN: (0.95, 1.8, 1.1, 0.60),
    CNN64: (0.95, 1.5, 1.0, None),
    VQ: (0.95, 1.4, 1.05, None),
}
"""Least ratios of `Trainer.fit` to each of AGAINST; None is reported only."""
SAMPLING = 1.1
"""Least ratio of sampling from the CNN to the best tuned PyTorch."""
SECOND_START = 4.0
"""Most seconds of a second start of the same command to its first step."""

BY_HAND = tuple(PEERS[loop] for loop in ("eager", "tuned", "compile"))


def cell(value: float | None, least: float | None) -> str:
    if value is None:
        return "not measured" + (f" (≥ {least:.2f})" if least is not None else "")
    if least is None:
        return f"{value:.2f}"
    return f"{value:.2f} (≥ {least:.2f}: {'met' if value >= least else '**missed**'})"


def ratios(measured: Measured) -> list[float | None]:
    """Return `Trainer.fit` to each of AGAINST."""
    rates = measured.rates
    ours = rates[FIT_IN_FOLDER]
    by_hand = [way for way in BY_HAND if way in rates]
    best = max(by_hand, key=lambda way: statistics.median(rates[way]), default=None)
    return [
        ratio(ours, rates[BARE]),
        ratio(ours, rates[PYTHAE]) if PYTHAE in rates else None,
        ratio(ours, rates[best]) if best else None,
        ratio([rate * measured.flops_per_sample for rate in ours], measured.flops),
    ]


def table(cases: list[dict], using: list[dict], first: dict[str, float]) -> str:
    """Return the targets in Markdown, each beside what was measured.

    Args:
        cases: what training.py measured.
        using: what throughput.py measured.
        first: seconds to the first step, which costs.py measured.
    """
    lines = [
        f"| `Trainer.fit` against | {' | '.join(AGAINST)} |",
        "|---|" + "---|" * len(AGAINST),
    ]
    steady, missing = [], []
    for case in (Measured(**numbers) for numbers in cases):
        values = zip(ratios(case), TARGETS[case.case], strict=True)
        lines.append(f"| {case.case} | {' | '.join(cell(*pair) for pair in values)} |")
        after = ratio(case.steady(FIT_IN_FOLDER), case.rates[BARE])
        missing += [f"{way} ({case.case})" for way in BY_HAND if way not in case.rates]
        steady.append(f"{case.case} {after:.2f} (calls of {case.steps[BARE]:,} steps)")
    for run in using:
        if (run["what"], run["case"]) == ("sample", CNN):
            name = f"sampling, CNN, batch {run['batch']:,}"
            lines.append(f"| {name} | - | - | {cell(run['ratio'], SAMPLING)} | - |")
    notes = [
        "`Trainer.fit` here is the whole call with progress, metrics and checkpoints, its start "
        "and last checkpoint included. Without its first step it does, to the bare scan: "
        f"{'; '.join(steady)}. The best tuned PyTorch is the fastest of the loops by hand."
    ]
    if missing:
        notes.append(f"The best is without {'; '.join(missing)}, which did not run.")
    if "second start" in first:
        seconds = first["second start"]
        verdict = "met" if seconds < SECOND_START else "**missed**"
        notes.append(
            f"A second start of `workshop train` is at its first step after {seconds:.1f} s "
            f"(< {SECOND_START:.0f} s: {verdict})."
        )
    return "\n".join([*lines, "", *notes])
