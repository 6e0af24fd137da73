"""`/metrics` scraped by a real Prometheus (Debian's), and looked at by its promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from monitor_database import new_database, take
from monitor_fleet import fleet
from monitor_outbox import until
from monitor_process import MonitorProcess, configuration

from kiosk_ui.monitor.log import now_ms
from simulators.broker.start import free_port

pytestmark = [pytest.mark.wire, pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")]
TOKEN = "a-token-of-the-test"


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[MonitorProcess]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    config = configuration(tmp_path, "mqtt://127.0.0.1:1")
    text = config.read_text().replace("[server]", '[server]\nmetrics_token_file = "token"').replace("monitor.sqlite", "fleet.sqlite")
    config.write_text(text)
    with new_database("sqlite", tmp_path) as database:
        for at, said in fleet(80, now_ms()):
            take(database, [*said, ("bank/v1/B001/T0001/event", b"?")], now=at)
    next(tmp_path.glob("monitor-*.sqlite")).rename(tmp_path / "fleet.sqlite")
    found = MonitorProcess(config, "--workers", "1")
    yield found
    found.stop()


class Prometheus:
    def __init__(self, folder: Path, target: str) -> None:
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: monitor\n"
            f"  authorization: {{credentials: {TOKEN}}}\n  static_configs: [{{targets: ['{target}']}}]\n"
        )
        self.port = free_port()
        options: dict[str, object] = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
        options["web.listen-address"] = f"127.0.0.1:{self.port}"
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)

    def ask(self, query: str) -> dict[str, float]:
        """Value by the labels' values, joined."""
        try:
            url = f"http://127.0.0.1:{self.port}/api/v1/query?query={urllib.parse.quote(query)}"
            with urllib.request.urlopen(url, timeout=10) as response:
                found = json.loads(response.read())["data"]["result"]
        except URLError:
            return {}
        hidden = ("__name__", "job", "instance")
        return {",".join(v for k, v in sorted(one["metric"].items()) if k not in hidden): float(one["value"][1]) for one in found}

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture
def prometheus(tmp_path: Path, monitor: MonitorProcess) -> Iterator[Prometheus]:
    found = Prometheus(tmp_path, monitor.url.split("/")[2])
    yield found
    found.end()


def test_prometheus_reads_what_the_monitor_shows(prometheus: Prometheus) -> None:
    assert until(lambda: prometheus.ask("up")) == {"": 1.0}
    until(lambda: sum(prometheus.ask("branch_monitor_terminals").values()) == 80)
    assert prometheus.ask("sum by (grade) (branch_monitor_terminals)")["fault"] == 3
    taken = prometheus.ask("branch_monitor_messages_taken_total")
    assert taken["telemetry"] >= 80 and taken["state"] >= 80 and taken["txn"] > 100
    assert prometheus.ask("branch_monitor_messages_refused_total")["notJson"] >= 1
    assert prometheus.ask("branch_monitor_broker_connected") == {"": 0.0} and prometheus.ask("branch_monitor_database_up") == {"": 1.0}
    assert prometheus.ask("branch_monitor_customers_affected")[""] > 0


def test_the_text_is_in_good_form_and_not_for_everybody(monitor: MonitorProcess) -> None:
    request = urllib.request.Request(f"{monitor.url}metrics")
    with pytest.raises(HTTPError, match="401") as refused:
        urllib.request.urlopen(request, timeout=30)
    refused.value.close()
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"branch_monitor_lag_seconds_bucket" in text
