"""Check the documents: relative links lead somewhere, `path/file.py:Symbol` names something that exists.

A symbol is a function, a class or a class's method ("Class.method"). Exit code 1 and one line for each that does
not resolve.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#|mailto:)([^)#\s]+)")
SYMBOL = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|proto)):([A-Za-z_][\w.]*)`")
FLOWS = {"ARCHITECTURE.md": 12}
"""How many symbols a document names at least: a pattern that stops matching must not pass for a clean page."""


@cache
def symbols(path: Path) -> frozenset[str]:
    """Return the names that a Python file defines: functions, classes, methods, module variables."""
    if path.suffix == ".proto":
        return frozenset(
            re.findall(r"^\s*(?:service|message|enum|rpc) (\w+)", path.read_text(), re.MULTILINE)
        )
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            )
    return frozenset(names)


def problems(document: Path) -> list[str]:
    """Return what does not resolve in one document."""
    text = document.read_text()
    name = document.relative_to(ROOT)
    found = [
        f"{name}: link to {target} leads nowhere"
        for target in LINK.findall(text)
        if not (document.parent / target).exists()
    ]
    cited = SYMBOL.findall(text)
    for file, symbol in cited:
        if not (ROOT / file).is_file():
            found.append(f"{name}: there is no file {file}")
        elif symbol not in symbols(ROOT / file):
            found.append(f"{name}: {file} has no {symbol}")
    if len(cited) < FLOWS.get(document.name, 0):
        found.append(f"{name}: cites {len(cited)} symbols, expected {FLOWS[document.name]} or more")
    return found


def main() -> int:
    """Check every Markdown file of the project."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    found = [problem for document in sorted(documents) for problem in problems(document)]
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(documents)} documents, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
