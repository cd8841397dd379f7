"""Extracts texts for translation. pyproject.toml names this function for Babel."""

import ast
import builtins
from collections.abc import Iterator, Sequence
from typing import IO, Any

from babel.messages.extract import extract_python


def python(file: IO[bytes], keywords: Any, comment_tags: Sequence[str], options: Any) -> Iterator[Any]:
    """The texts of gettext functions, and the messages of errors.

    Errors say what is wrong in `message`, or when they are raised. Pages translate them when they show them.
    """
    yield from extract_python(file, keywords, comment_tags, options)
    file.seek(0)
    for node in ast.walk(ast.parse(file.read())):
        for text in _messages(node):
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and " " in text.value:
                yield text.lineno, None, text.value, []


def _messages(node: ast.AST) -> Sequence[ast.expr]:
    """What may be the message of an error. Those of Python's own errors aren't for users."""
    match node:
        case ast.ClassDef(body=body):
            return [each.value for each in body if isinstance(each, ast.Assign) and _is_message(each)]
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[text, *_])) if not hasattr(builtins, name):
            return [text]
        case ast.Call(func=ast.Name(id="PydanticCustomError"), args=[_, text, *_]):
            return [text]
    return []


def _is_message(assignment: ast.Assign) -> bool:
    target = assignment.targets[0]
    return isinstance(target, ast.Name) and target.id == "message"
