"""pyemv computes what the simulated card and issuer compute. Its CVN 18 is this card's CVN 0x12 for numbers of 16 digits."""

from __future__ import annotations

import pytest

from simulators.card.card import SimulatedCard
from simulators.card.profiles import load_profiles
from simulators.crypto.ber import objects, tlv
from simulators.crypto.emv import (
    CRYPTOGRAM_TAGS,
    arpc_method1,
    arpc_method2,
    icc_master_key,
    issuer_response,
    load_issuer_keys,
    mac,
    script_command,
    session_key,
    verify_arqc,
)

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")]
KEYS = load_issuer_keys()
PAN = "6259000000000021"
CDOL = bytes.fromhex("0000000300000000000000000156000004800001562611220101020304")


@pytest.fixture
def field55() -> dict[str, bytes]:
    """What the credit application of the DDA card gives for a first GENERATE AC."""
    card = SimulatedCard(load_profiles()["two-applications"])
    card.transmit(bytes.fromhex("00A4040008A00000033301010200"))
    aip = objects(card.transmit(bytes.fromhex("80A800000D830B01566040C8148000B0500100"))[:-2])["80"][:2]
    answer = objects(card.transmit(bytes.fromhex("80AE80001D") + CDOL + b"\x00")[:-2])["80"]
    terminal = {"9F02": CDOL[:6], "9F03": CDOL[6:12], "9F1A": CDOL[12:14], "95": CDOL[14:19], "5F2A": CDOL[19:21], "9A": CDOL[21:24]}
    terminal |= {"9C": CDOL[24:25], "9F37": CDOL[25:]}
    return terminal | {"82": aip, "9F27": answer[:1], "9F36": answer[1:3], "9F26": answer[3:11], "9F10": answer[11:]}


def test_cryptogram_and_answer_of_cvn_18(field55: dict[str, bytes]) -> None:
    from pyemv import cvn

    peer = cvn.VisaCVN18(KEYS.ac, KEYS.smi, KEYS.smc, PAN, "01")
    assert field55["9F10"][2] == 0x12
    assert peer.generate_ac(**{f"tag_{tag.lower()}": field55[tag] for tag in CRYPTOGRAM_TAGS}) == field55["9F26"]
    check = verify_arqc(b"".join(tlv(tag, value) for tag, value in field55.items()), PAN, 1, KEYS)
    assert check.ok
    answer = objects(issuer_response(check, True, KEYS))["91"]
    assert answer[:4] == peer.generate_arpc(field55["9F26"], field55["9F36"], answer[4:])


def test_keys_and_primitives() -> None:
    from pyemv import ac, kd
    from pyemv import mac as peer_mac

    for pan, psn in ((PAN, 1), ("622848000000001", 0), ("6228480000000000123", 99)):
        master = kd.derive_icc_mk_a(KEYS.ac, pan, f"{psn:02d}")
        assert icc_master_key(KEYS.ac, pan, psn) == master
        for atc in (1, 0xFFFF):
            session = kd.derive_common_sk(master, atc.to_bytes(2, "big") + bytes(6))
            assert session_key(master, atc) == session
            assert arpc_method1(session, b"8 bytes!", b"00") == ac.generate_arpc_1(session, b"8 bytes!", b"00")
            assert arpc_method2(session, b"8 bytes!", bytes(4), b"more") == ac.generate_arpc_2(session, b"8 bytes!", bytes(4), b"more")
    for size in range(20):
        key = session_key(KEYS.ac, 7)
        assert mac(key, bytes(size)) == peer_mac.mac_iso9797_3(key[:8], key[8:], bytes(size), 2, 8)


def test_script_commands(field55: dict[str, bytes]) -> None:
    from pyemv import kd, sm

    check = verify_arqc(b"".join(tlv(tag, value) for tag, value in field55.items()), PAN, 1, KEYS)
    session = kd.derive_common_sk(kd.derive_icc_mk_a(KEYS.smi, PAN, "01"), field55["9F26"])
    header = bytes.fromhex("841E000004")
    assert script_command(check, "841E0000") == header + sm.generate_command_mac(session, header + field55["9F36"] + field55["9F26"], 4)
