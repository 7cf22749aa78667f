"""How a pod ends: a pure function of what it wants and what its node leaves it."""

from dataclasses import dataclass

_DEREGISTRATION_SECONDS = 15
"""How long a leaving pod still takes requests, until every proxy knows that it leaves."""

_EXIT_SECONDS = 15
"""Between the last request and the end of the process."""


@dataclass(frozen=True)
class Shutdown:
    """The end of a pod; the three follow one another."""

    deregistration_seconds: int
    """Still taking requests, until every proxy knows."""
    drain_seconds: int
    """Finishing those that run."""
    exit_seconds: int
    """Ending the process."""

    @property
    def grace_seconds(self) -> int:
        """All of it."""
        return self.deregistration_seconds + self.drain_seconds + self.exit_seconds


def shutdown(drain_seconds: int, notice_seconds: int | None) -> Shutdown:
    """The end of a pod that wants to drain so long and has `notice_seconds` (None: any time)."""
    if notice_seconds is None:
        return Shutdown(_DEREGISTRATION_SECONDS, drain_seconds, _EXIT_SECONDS)
    around = min(_DEREGISTRATION_SECONDS, notice_seconds // 5)
    return Shutdown(around, min(drain_seconds, notice_seconds - 2 * around), around)


def least(notices: list[int | None]) -> int | None:
    """What all of several nodes leave a pod."""
    return min((notice for notice in notices if notice is not None), default=None)
