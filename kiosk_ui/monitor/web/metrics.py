"""`/metrics` in the Prometheus text format: the fleet as the pages see it, and the workers' counters from the database.

Who may read: whoever has the token of `server.metrics_token_file`; without one, this machine alone.
"""

from __future__ import annotations

import hmac
from collections import Counter, defaultdict
from collections.abc import Iterator
from ipaddress import ip_address

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kiosk_ui.monitor.grading import GRADES
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.schema import COMMAND, COUNTER
from kiosk_ui.monitor.web.context import Monitor, monitor_of
from kiosk_ui.monitor.worker import LAG_BUCKETS_MS

TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "branch_monitor"


class Figures(Collector):
    """Made for one scrape."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        yield from self._fleet()
        by_worker: dict[int, Counter[str]] = defaultdict(Counter)
        with self._monitor.database.read() as connection:
            for row in connection.execute(select(COUNTER)):
                by_worker[row.worker][row.name] = row.value
            states = connection.execute(select(COMMAND.c.state, func.count()).group_by(COMMAND.c.state)).all()
        yield from self._messages(sum(by_worker.values(), Counter()))
        received = CounterMetricFamily(f"{PREFIX}_received", "Messages received from the broker", labels=["worker"])
        for worker, counts in sorted(by_worker.items()):
            received.add_metric([str(worker)], counts["received"])
        yield received
        commands = GaugeMetricFamily(f"{PREFIX}_commands", "Commands by state", labels=["state"])
        for state, n in states:
            commands.add_metric([state], n)
        yield commands

    def _fleet(self) -> Iterator[Metric]:
        monitor = self._monitor
        lines = monitor.fleet.lines()
        tiles = monitor.fleet.overview(lines, now_ms())
        terminals = GaugeMetricFamily(f"{PREFIX}_terminals", "Terminals by grade and region", labels=["grade", "region"])
        for (grade, region), n in sorted(Counter((one.grade, one.region) for one in lines).items()):
            terminals.add_metric([grade, region], n)
        yield terminals
        yield GaugeMetricFamily(f"{PREFIX}_cash_out_soon", "Terminals of which a cash unit is or will soon be empty", tiles["cashOutSoon"])
        yield GaugeMetricFamily(f"{PREFIX}_customers_affected", "Customers who did not get what they wanted, 24 hours", tiles["affected"])
        yield GaugeMetricFamily(f"{PREFIX}_alarms_unacknowledged", "Open alarms nobody has acknowledged", tiles["unacknowledged"])
        yield GaugeMetricFamily(f"{PREFIX}_broker_connected", "The sender of commands has its broker", int(monitor.sender.connected))
        yield GaugeMetricFamily(f"{PREFIX}_database_up", "The last look into the database succeeded", int(not monitor.observer.fault))
        hearing = int(monitor.ingest.hearing_since is not None)
        yield GaugeMetricFamily(f"{PREFIX}_ingest_hearing", "Every worker hears the terminals and stores what they say", hearing)
        yield GaugeMetricFamily(f"{PREFIX}_grades", "How many grades there are", len(GRADES))

    def _messages(self, total: Counter[str]) -> Iterator[Metric]:
        for kind, words in (("taken", "applied"), ("repeated", "that had come before"), ("refused", "refused")):
            label = "reason" if kind == "refused" else "class"
            family = CounterMetricFamily(f"{PREFIX}_messages_{kind}", f"Messages {words}", labels=[label])
            for name in sorted(total):
                if name.startswith(f"{kind}."):
                    family.add_metric([name.partition(".")[2]], total[name])
            yield family
        yield CounterMetricFamily(f"{PREFIX}_batches", "Transactions of the ingest", total["batches"])
        buckets, below = [], 0
        for edge in LAG_BUCKETS_MS:
            below += total[f"lag.{edge}"]
            buckets.append((str(edge / 1000), float(below)))
        buckets.append(("+Inf", float(below + total["lag.more"])))
        lag = HistogramMetricFamily(f"{PREFIX}_lag_seconds", "From a message's own time until it was taken up here")
        lag.add_metric([], buckets, sum_value=total["lag_ms"] / 1000)
        yield lag


def metrics(request: Request) -> Response:
    monitor = monitor_of(request)
    if not _may(request, monitor):
        return PlainTextResponse("a token is needed", 401, {"www-authenticate": "Bearer"})
    registry = CollectorRegistry()
    registry.register(Figures(monitor))
    return Response(generate_latest(registry), media_type=TYPE)


def _may(request: Request, monitor: Monitor) -> bool:
    path = monitor.config.server.metrics_token_file
    if path is None:
        try:
            return request.client is not None and ip_address(request.client.host).is_loopback and not monitor.config.server.behind_proxy
        except ValueError:
            return False
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode("utf-8", "replace"), path.read_text(encoding="utf-8").strip().encode())
