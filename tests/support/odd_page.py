"""A page process that presses what it is shown: every view comes back as a press with its number. Arguments name what it does wrong."""

from __future__ import annotations

import json
import os
import sys
import time


def say(message: object) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


say({"ready": {"port": 4711}})
if "garbage" in sys.argv:
    os.write(1, b'nonsense\n[1]\n{"pressed": 7}\n{"pressed": {"seq": "x"}}\n{"ready": {}}\n')
while "deaf" in sys.argv:
    time.sleep(3600)
for line in sys.stdin:
    message = json.loads(line)
    if "view" in message:
        say({"pressed": {"seq": message["view"]["seq"], "id": f"seen-by-{os.getpid()}"}})
        if message["view"].get("screen") == "die":
            os._exit(3)
    else:
        say({"pong": message["ping"]})
