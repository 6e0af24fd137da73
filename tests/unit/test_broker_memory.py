"""The broker in memory does what brokers were measured to do, its sins included."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import pytest

from simulators.broker.memory import FAULTS, BrokerDown, BrokerFault, Connection, MemoryBroker, Packet

TXN, ACK = "bank/v1/B001/T0001/txn", "bank/v1/B001/T0001/ack"


class Net:
    """Time that passes when asked to, a terminal and a bank."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.broker = MemoryBroker(self.later)
        self.acked: list[int] = []
        self.bank_got: list[bytes] = []
        self.ended: list[str] = []
        self.terminal = self.connect("T0001", Packet("bank/v1/B001/T0001/state", b"offline", retain=True))
        self.bank = self.connect("bank-host")
        self.broker.subscribe(self.bank, ["bank/v1/+/+/txn", "bank/v1/+/+/state"])

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._planned, (self.now + seconds, next(self._order), action))

    def run(self, seconds: float = 1.0) -> None:
        until = self.now + seconds
        while self._planned and self._planned[0][0] <= until:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = until

    def connect(self, name: str, will: Packet | None = None) -> Connection:
        def on_packet(packet: Packet) -> None:
            self.bank_got.append(packet.payload)

        connection = Connection(name, will, on_packet, lambda: self.ended.append(name))
        self.broker.connect(connection, persistent=name == "bank-host")
        return connection

    def publish(self, payload: bytes, topic: str = TXN) -> None:
        self.broker.publish(self.terminal, Packet(topic, payload), self.acked.append)

    def arm(self, kind: str, leaf: str = "txn", times: int = 1) -> None:
        self.broker.faults.append(BrokerFault(kind, leaf, times))


@pytest.fixture
def net() -> Net:
    return Net()


def test_a_message_is_acknowledged_and_delivered_in_order(net: Net) -> None:
    for number in range(3):
        net.publish(b"%d" % number)
    net.run()
    assert net.bank_got == [b"0", b"1", b"2"] and net.acked == [0, 0, 0]


def test_without_a_subscriber_the_acknowledgement_says_so(net: Net) -> None:
    net.publish(b"x", ACK)
    net.run()
    assert net.acked == [0x10] and net.bank_got == []


@pytest.mark.parametrize(
    ("fault", "got", "acked"),
    [
        ("lose", [b"2"], [0, 0]),
        ("duplicate", [b"1", b"1", b"2"], [0, 0]),
        ("reorder", [b"2", b"1"], [0, 0]),
        ("muteAck", [b"1", b"2"], [0]),
        ("refuse", [b"2"], [0x97, 0]),
    ],
)
def test_every_sin_once(net: Net, fault: str, got: list[bytes], acked: list[int]) -> None:
    assert fault in FAULTS
    net.arm(fault)
    net.publish(b"1")
    net.publish(b"2")
    net.run(10.0)
    assert (net.bank_got, net.acked) == (got, acked) and net.broker.faults == []


def test_a_session_that_is_kept_gets_what_it_missed(net: Net) -> None:
    net.broker.cut("bank-host")
    net.publish(b"missed")
    net.run()
    assert net.acked == [0] and net.bank_got == [] and net.ended == ["bank-host"]
    bank = net.connect("bank-host")
    net.broker.subscribe(bank, ["bank/v1/+/+/txn"])
    net.run()
    assert net.bank_got == [b"missed"]


def test_a_crash_forgets_what_it_had_acknowledged(net: Net) -> None:
    net.broker.cut("bank-host")
    net.publish(b"lost")
    net.run()
    net.broker.crash()
    net.run()
    assert net.acked == [0] and "T0001" in net.ended
    with pytest.raises(BrokerDown):
        net.connect("bank-host")
    net.broker.restart()
    net.broker.subscribe(net.connect("bank-host"), ["bank/v1/+/+/txn"])
    net.run()
    assert net.bank_got == []


def test_the_will_is_published_when_the_connection_breaks_and_kept(net: Net) -> None:
    net.broker.cut("T0001")
    net.run()
    assert net.bank_got == [b"offline"]
    net.broker.subscribe(net.bank, ["bank/v1/+/+/state"])
    net.run()
    assert net.bank_got == [b"offline", b"offline"], "retained"


def test_a_clean_goodbye_leaves_no_will(net: Net) -> None:
    net.broker.disconnect(net.terminal, clean=True)
    net.run()
    assert net.bank_got == [] and net.ended == []


def test_a_second_connection_of_the_same_client_takes_over(net: Net) -> None:
    net.connect("T0001")
    net.publish(b"from the dead")
    net.run()
    assert b"from the dead" not in net.bank_got and net.ended == ["T0001"]


def test_a_broker_that_stands_still_goes_on_where_it_was(net: Net) -> None:
    net.broker.stop()
    net.publish(b"held")
    connected: list[str] = []
    net.broker.connect(Connection("T0002", None, lambda packet: None, lambda: net.ended.append("T0002")), lambda: connected.append("T0002"))
    net.run()
    assert (net.bank_got, net.acked, connected) == ([], [], [])
    net.broker.go_on()
    net.run()
    assert (net.bank_got, net.acked, connected, net.ended) == ([b"held"], [0], ["T0002"], [])


def test_a_broker_that_dies_while_it_stands_still_breaks_the_connections_it_never_answered(net: Net) -> None:
    net.broker.stop()
    net.publish(b"held")
    net.connect("T0002")
    net.run()
    net.broker.crash()
    net.broker.go_on()
    net.run()
    assert sorted(net.ended) == ["T0001", "T0002", "bank-host"] and net.bank_got == [] and net.acked == []


def test_cutting_a_connection_that_is_not_there_says_so(net: Net) -> None:
    assert net.broker.cut("T0001") and not net.broker.cut("T0001")
