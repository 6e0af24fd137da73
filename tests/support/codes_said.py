"""The codes that a piece of Python says, read from its source: so that a new one is found without being listed a second time.

A code is a string constant in the place where it is said. An f-string counts as its beginning and "#": ``f"nearEnd{n}"`` is ``nearEnd#``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sources(*patterns: str) -> list[ast.Module]:
    """The files of the tree that fit one of the patterns, parsed."""
    found = [ast.parse(path.read_text(encoding="utf-8")) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    assert found, patterns
    return found


def codes(node: ast.AST) -> Iterator[str]:
    """What the expression may become; not what it compares, and not the arguments of what it calls."""
    match node:
        case ast.Constant(value=str(value)) if value:
            yield value
        case ast.JoinedStr(values=[ast.Constant(value=str(value)), *_]):
            yield f"{value}#"
        case ast.IfExp(body=body, orelse=orelse):
            yield from codes(body)
            yield from codes(orelse)
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from codes(part)


def called(trees: Iterable[ast.AST], name: str, place: int | str) -> set[str]:
    """Codes in the calls of `name` (a function or a method), at a position or keyword."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and name == (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        ):
            given: list[ast.expr] = [one.value for one in node.keywords if one.arg == place]
            given += node.args[place : place + 1] if isinstance(place, int) else []
            found |= {code for one in given for code in codes(one)}
    return found


def assigned(trees: Iterable[ast.AST], attribute: str) -> set[str]:
    """Codes that are assigned to ``something.attribute``, alone or in ``a.x, b.attribute = ...``."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Assign):
            [target] = node.targets
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for to, value in pairs:
                if isinstance(to, ast.Attribute) and to.attr == attribute:
                    found |= set(codes(value))
    return found
