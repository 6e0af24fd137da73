"""branch-sim: the simulators' side. `up` serves a whole branch, `demo` plays one withdrawal and judges it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="branch-sim", description="A whole branch of simulated devices around the real terminal.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and serve until Ctrl-C")
    up.add_argument("--kiosk-port", type=int, default=8080)
    up.add_argument("--bench-port", type=int, default=8090)
    up.add_argument("--monitor-port", type=int, default=8095)
    up.add_argument("--no-monitor", action="store_true", help="without the operations centre's pages")
    up.add_argument("--folder", type=Path, default=Path(".run"), help="where journal, ledger and logs of this run lie")
    up.add_argument("--keep", action="store_true", help="go on with the journal, ledger and notes of the last run")
    demo = commands.add_parser("demo", help="play a scenario")
    demo.add_argument("--scenario", metavar="NAME")
    demo.add_argument("--list", action="store_true", help="name the scenarios")
    demo.add_argument("--all", action="store_true", help="play them all")
    demo.add_argument("--keep-folder", type=Path, help="copy each stage's journal, logs and trace there")
    for one in (up, demo):
        one.add_argument("--faces", type=Path, help="folder of scenes and templates (python -m simulators.camera --cache FOLDER)")
        one.add_argument("--broker", help="mqtt://host:port of a broker that runs already")
    arguments = parser.parse_args(argv)
    if arguments.command == "demo":
        from simulators.stage import demo as play

        return play.main(
            arguments.scenario, everything=arguments.all, list_only=arguments.list, faces=arguments.faces, keep=arguments.keep_folder
        )
    from simulators.stage import up as serve

    return serve.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
