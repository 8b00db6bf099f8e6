"""What a run showed, and whether that is what was promised."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.plan import FAULTS, KILLS, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What one app has carried out.

    Attributes:
        name: The app.
        evicted: Acknowledged logouts it has carried out.
        missing: Acknowledged logouts it has not, and was not told of by a reset: lost.
        extra: Logouts carried out whose OP never got its 200.
        unknown: Evictions carried out that are not in the stream.
        again: Times it was told once more of one it had carried out.
        resets: Times it was told to drop everything.
        slowest_s: Longest time from the answer 200 to the eviction, seconds.
    """

    name: str
    evicted: int
    missing: int
    extra: int
    unknown: int
    again: int
    resets: int
    slowest_s: float


@dataclass(slots=True, kw_only=True)
class Result:
    """What a run showed.

    Attributes:
        plan: What was played.
        sent: Logouts begun.
        acknowledged: Those answered 200.
        retried: Times a token was sent again for want of a 200.
        repeated: Times one was sent again in spite of it.
        given_up: Logouts never answered 200.
        answers: Status, or `broken`, to how often.
        struck: What went wrong to how often.
        connections_cut: TCP connections to Redis that were broken.
        kept_in_outboxes: Times a 200 meant the outbox, by the receivers' logs.
        found_in_outboxes: Evictions that a restarted receiver found in its outbox, one at each restart.
        faults: Tracebacks in the logs; not wrong by themselves, but to be looked at.
        unforeseen: Processes that ended without having been killed.
        left_in_outboxes: Evictions still there at the end; None when a receiver did not say.
        published: Different events in the stream.
        forgotten: Acknowledged logouts that Redis itself has lost, because it came back with older data.
        not_published: Other acknowledged logouts that are not in the stream: lost.
        published_twice: Events that are there more than once.
        unknown: Events there that nobody sent.
        tokens_left: Acknowledged logouts whose user's tokens are still in the shared cache.
        apps: What each app has carried out.
        minutes: How long it took.
        logs: The end of all logs, when something is wrong.
    """

    plan: Plan
    sent: int
    acknowledged: int
    retried: int
    repeated: int
    given_up: int
    answers: dict[str, int]
    struck: dict[str, int]
    connections_cut: int
    kept_in_outboxes: int
    found_in_outboxes: int
    faults: int
    unforeseen: list[str]
    left_in_outboxes: int | None
    published: int
    forgotten: int
    not_published: int
    published_twice: int
    unknown: int
    tokens_left: int
    apps: list[App]
    minutes: float = 0.0
    logs: str = ""

    @property
    def lost(self) -> int:
        """Acknowledged logouts that some app has not carried out, or that are not in the stream, or left tokens."""
        return self.not_published + self.tokens_left + sum(app.missing for app in self.apps)

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice in the stream, nothing made up, nothing died of itself, nothing left over."""
        wrong = self.lost + self.published_twice + self.unknown + sum(app.unknown for app in self.apps)
        return not wrong and not self.unforeseen and self.left_in_outboxes == 0

    def table(self) -> str:
        """All of it, for people."""
        kills = {what: self.struck.get(what, 0) for what in KILLS}
        faults = {what: self.struck.get(what, 0) for what in FAULTS}
        lines = [
            ("seed", str(self.plan.seed)),
            ("logouts sent", f"{self.sent:,}"),
            ("acknowledged (200)", f"{self.acknowledged:,}"),
            ("never acknowledged", f"{self.given_up:,}"),
            ("sent again for want of a 200", f"{self.retried:,}"),
            ("sent again in spite of it", f"{self.repeated:,}"),
            ("answers", _list(self.answers)),
            ("killed (SIGKILL)", f"{sum(kills.values())}: {_list(kills)}"),
            ("other failures", f"{sum(faults.values())}: {_list(faults)}"),
            ("connections to Redis broken", f"{self.connections_cut:,}"),
            ("answered 200 from an outbox", f"{self.kept_in_outboxes:,}"),
            ("found in outboxes after a kill", f"{self.found_in_outboxes:,}"),
            ("tracebacks in logs", str(self.faults)),
            ("ended without being killed", ", ".join(self.unforeseen) or "0"),
            ("left in outboxes", "unknown" if self.left_in_outboxes is None else str(self.left_in_outboxes)),
            ("events in the stream", f"{self.published:,}"),
            ("forgotten by Redis, apps told", f"{self.forgotten:,}"),
            ("acknowledged, not in the stream", str(self.not_published)),
            ("twice in the stream", str(self.published_twice)),
            ("in the stream, never sent", str(self.unknown)),
            ("left in the shared cache", str(self.tokens_left)),
            ("minutes", f"{self.minutes:.1f}"),
        ]
        width = max(len(name) for name, _ in lines)
        heads = ("app", "evicted", "missing", "not acknowledged", "unknown", "told again", "resets", "slowest")
        rows = [
            (
                app.name, f"{app.evicted:,}", str(app.missing), str(app.extra), str(app.unknown), f"{app.again:,}",
                str(app.resets), f"{app.slowest_s:.1f} s",
            )
            for app in self.apps
        ]  # fmt: skip
        widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
        return "\n".join(
            [
                *(f"{name:<{width}}  {value}" for name, value in lines),
                "",
                *(
                    "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
                    for row in (heads, *rows)
                ),
                "",
                f"lost: {self.lost}" + ("" if self.good else "   NOT AS PROMISED"),
            ]
        )


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
