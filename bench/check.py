"""Whether we have become much slower: our ratios to nbdkit now, beside those that were kept.

    python -m bench.check            fails when a ratio is worse than half as good as the kept one
    python -m bench.check --keep     keeps what it finds, in bench/results/ratios.json: on a quiet machine only

Ratios of one run, because times say more of the machine than of us; and half, because ratios move too: with other work
on both cores our 4 KiB reads were 0.27, 0.50 and 0.54 of nbdkit's within half an hour, for we are more processes than a
peer is. So it finds what doubles a cost, and nothing finer; bench.run is for that.
"""

import argparse
import json
from collections.abc import Mapping

from bench import tables
from bench.contest import contest, in_turn
from bench.load import LARGE, SINGLE, SMALL
from bench.machine import setting
from bench.marks import Verdict, verdicts
from bench.results import RESULTS
from bench.run import chosen_peers, progress
from bench.tables import Sheet

KEPT = RESULTS / "ratios.json"
LOADS = (*SMALL, SINGLE[0], LARGE[2])
ROUNDS = 3
SECONDS = 0.3
ROOM = 2.0


def name_of(verdict: Verdict) -> str:
    return f"{verdict.mark.title}, {verdict.load.op}, {verdict.door}"


def is_worse(verdict: Verdict, kept: float) -> bool:
    """Whether a ratio is worse than the kept one by more than ROOM."""
    return verdict.ratio > kept * ROOM if verdict.mark.less_is_better else verdict.ratio < kept / ROOM


def measured() -> list[Verdict]:
    """Give our ratios to nbdkit, as they are now."""
    with contest(chosen_peers(("nbdkit",)), (1, 8), (1, 2), ()) as subjects:
        return list(verdicts(in_turn(subjects, LOADS, rounds=ROUNDS, seconds=SECONDS, told=progress())))


def worse(found: list[Verdict], kept: Mapping[str, float]) -> list[Verdict]:
    return [verdict for verdict in found if name_of(verdict) in kept and is_worse(verdict, kept[name_of(verdict)])]


def kept_ratios() -> dict[str, float]:
    if not KEPT.exists():
        raise SystemExit("no ratios are kept to compare with: python -m bench.check --keep, on a quiet machine")
    return {name: float(ratio) for name, ratio in json.loads(KEPT.read_text())["ratios"].items()}


def keep(found: list[Verdict], where: str) -> None:
    ratios = {name_of(verdict): round(verdict.ratio, 3) for verdict in found}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({"setting": where, "ratios": ratios}, indent=1) + "\n")


def main() -> None:
    """Measure, compare, say so by the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="keep what is found, as what to compare with from now on")
    arguments = parser.parse_args()
    where, found = setting("bench.check").line, measured()
    if arguments.keep:
        keep(found, where)
    kept = kept_ratios()
    bad = worse(found, kept)
    rows: list[tuple[str, ...]] = [
        (name_of(each), f"{each.ratio:.2f}", f"{kept.get(name_of(each), 0):.2f}", "WORSE" if each in bad else "")
        for each in found
    ]
    tables.console().print(where)
    Sheet("Ours ÷ nbdkit", ("ratio of", "now", "kept", ""), rows).show(tables.console())
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
