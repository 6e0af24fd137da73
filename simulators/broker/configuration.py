"""The configuration files we give a broker that we start ourselves (mosquitto.conf(5); rumqttd's TOML for iotcore)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Security:
    """What a listener demands. Certificates are PEM; with `ca` every client must show one, and its CN becomes its user name."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    passwords: Path | None = None
    acl: Path | None = None

    @property
    def tls(self) -> bool:
        return self.certificate is not None


def mosquitto_configuration(folder: Path, port: int, security: Security | None = None) -> str:
    """For mosquitto 2.x on 127.0.0.1.

    Without `set_tcp_nodelay` a request and its response take 92 ms instead of 0.5 ms; with the default of 1000 queued
    messages a slow subscriber silently loses what the publisher got a PUBACK for.
    """
    lines = [
        "per_listener_settings false",
        f"listener {port} 127.0.0.1",
        "set_tcp_nodelay true",
        "max_queued_messages 1000000",
        "max_queued_bytes 0",
        "max_inflight_messages 1000",
        "max_packet_size 1048576",
        "persistence true",
        f"persistence_location {folder / 'persistence'}/",
        "autosave_interval 1",
        "log_type error",
        "log_type warning",
        "log_dest stderr",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes "mosquitto", who may not write in our folder
    if security is None:
        return "\n".join([*lines, "allow_anonymous true", ""])
    if security.tls:
        lines += [f"certfile {security.certificate}", f"keyfile {security.key}", "tls_version tlsv1.2"]
    if security.ca:
        lines += [f"cafile {security.ca}", "require_certificate true", "use_identity_as_username true"]
    if security.passwords:
        lines.append(f"password_file {security.passwords}")
    if security.acl:
        lines.append(f"acl_file {security.acl}")
    return "\n".join([*lines, "allow_anonymous false", ""])


def iotcore_configuration(port: int) -> str:
    """For the rumqttd inside iotcore 0.4.0: MQTT 5 only by configuration file, never on another address than 127.0.0.1."""
    return f"""id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 1000
max_segment_size = 16777216
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 500
dynamic_filters = true
"""
