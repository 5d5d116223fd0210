"""Seeing what happens: traces, logs, plans, tags and spans of what is sent to the server.

What a program does not ask for is not imported, and costs nothing: who observes is told of each exchange, who does not
has no observer. Nothing here sends a request; values are shown only where the program asks for them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psqlmodel.observe.findings import Finding as Finding
    from psqlmodel.observe.otel import instrument as instrument
    from psqlmodel.observe.otel import traceparent as traceparent
    from psqlmodel.observe.plan import PlanNode as PlanNode
    from psqlmodel.observe.plan import QueryPlan as QueryPlan
    from psqlmodel.observe.sites import Site as Site
    from psqlmodel.observe.tags import tagged as tagged
    from psqlmodel.observe.trace import Trace as Trace
    from psqlmodel.observe.trace import Traced as Traced
else:
    from psqlmodel.later import later

    __getattr__, __dir__ = later(
        __name__,
        {
            "psqlmodel.observe.findings": ["Finding"],
            "psqlmodel.observe.otel": ["instrument", "traceparent"],
            "psqlmodel.observe.plan": ["PlanNode", "QueryPlan"],
            "psqlmodel.observe.sites": ["Site"],
            "psqlmodel.observe.tags": ["tagged"],
            "psqlmodel.observe.trace": ["Trace", "Traced"],
        },
    )
