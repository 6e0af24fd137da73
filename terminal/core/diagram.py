"""The session's diagram, made from its table: `python -m terminal.core.diagram` prints a Mermaid stateDiagram-v2.

A test compares docs/session.md and the README (which leaves the face services out) with this text: the picture cannot lie.
"""

from __future__ import annotations

from terminal.core.model import Phase
from terminal.core.session import EVERYWHERE, RESTING, TRANSITIONS

BEGIN, END = "<!-- diagram -->", "<!-- /diagram -->"
SESSION_ENDS = frozenset(RESTING)


FACE_SERVICES = frozenset(
    (
        *(Phase.OPENING_FACE_SERVICE, Phase.CHOOSING_FACE_SERVICE, Phase.CONSENTING, Phase.ENROLLING_FACE, Phase.STORING_FACE),
        *(Phase.CONFIRMING_REVOCATION, Phase.REVOKING_FACE, Phase.FACE_SERVICE_DONE, Phase.PRINTING_CONFIRMATION),
    )
)


def edges(without: frozenset[Phase] = frozenset()) -> dict[tuple[Phase, Phase], list[str]]:
    """(from, to) -> the events that may lead there, in the table's order; staying where one is is not drawn."""
    found: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), row in TRANSITIONS.items():
        for target in row.targets:
            if target is not phase and not {phase, target} & without:
                found.setdefault((phase, target), []).append(event.__name__)
    return found


def mermaid(without: frozenset[Phase] = frozenset()) -> str:
    """The resting phases that a session may end in are drawn as one state, `resting`, unless a phase leads to some of them only."""
    lines = ["stateDiagram-v2", "    direction TB", "    [*] --> unknown", "    state resting {"]
    lines += [f"        {phase.value}" for phase in RESTING]
    lines.append("    }")
    drawn = edges(without)
    for phase in Phase:
        ends = {target: names for (source, target), names in drawn.items() if source is phase and target in SESSION_ENDS}
        together = set(ends) == SESSION_ENDS and len({tuple(names) for names in ends.values()}) == 1
        if together:
            lines.append(f"    {phase.value} --> resting : {' / '.join(next(iter(ends.values())))}")
        for (source, target), names in drawn.items():
            if source is phase and not (together and target in SESSION_ENDS):
                lines.append(f"    {phase.value} --> {target.value} : {' / '.join(names)}")
    everywhere = [event.__name__ for event, row in EVERYWHERE.items() if Phase.FAILED in row.targets]
    resting = [event.__name__ for event, row in EVERYWHERE.items() if SESSION_ENDS & set(row.targets)]
    lines += [
        "    note right of failed",
        f"        while a customer is served : {' / '.join(everywhere)}",
        "    end note",
        "    note right of resting",
        f"        among themselves : {' / '.join(resting)}",
        "    end note",
    ]
    return "\n".join(lines) + "\n"


def block(without: frozenset[Phase] = frozenset()) -> str:
    """What stands between the markers of a document, markers included."""
    return f"{BEGIN}\n```mermaid\n{mermaid(without)}```\n{END}"


if __name__ == "__main__":
    print(mermaid(), end="")
