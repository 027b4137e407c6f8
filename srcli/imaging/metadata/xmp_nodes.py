"""Nodes of an XMP document: properties are attributes or elements, their texts numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def namespaced_nodes(scope: Any) -> Iterator[Any]:  # noqa: ANN401 - minidom has no types for what is common
    """Yield elements and attributes that have a namespace, in the order of the document."""
    for element in (scope, *scope.getElementsByTagName("*")):
        for node in (element, *(element.attributes or {}).values()):
            if node.namespaceURI:
                yield node


def text_nodes(scope: Any, uri: str, names: Iterable[str]) -> list[list[Any]]:  # noqa: ANN401
    """Return for each property in a scope the nodes that hold its text, which may be empty."""
    texts: dict[str, list[Any]] = {name: [] for name in names}
    for node in namespaced_nodes(scope):
        if node.namespaceURI == uri and node.localName in texts:
            text = node
            if node.nodeType != node.ATTRIBUTE_NODE:
                text = node.firstChild or node
            texts[node.localName].append(text)
    return list(texts.values())


def replace_numbers(
    columns: Iterable[Sequence[Any]],
    new: Callable[[Sequence[float]], list[float]],
    *,
    exact: bool = False,
) -> None:
    """Replace numbers, those of a row together, by what becomes of them.

    Whole and rational ones stay so unless they are to be exact.
    """
    for nodes in zip(*columns, strict=False):
        with suppress(TypeError, ValueError, ArithmeticError):
            values = new([float(Fraction(node.nodeValue)) for node in nodes])
            for node, value in zip(nodes, values, strict=True):
                if "/" in node.nodeValue:
                    ratio = Fraction(value).limit_denominator(10**6).as_integer_ratio()
                    node.nodeValue = "/".join(map(str, ratio))
                elif exact or "." in node.nodeValue:
                    node.nodeValue = decimal(value)
                else:
                    node.nodeValue = str(round(value))


def decimal(value: float) -> str:
    """Write a number with up to nine digits behind the point."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def drop_property(text: Any) -> None:  # noqa: ANN401 - an attribute, or the text of an element
    """Drop the property whose text stands in a node."""
    if text.nodeType == text.ATTRIBUTE_NODE:
        text.ownerElement.removeAttributeNode(text)
    else:
        element = text.parentNode
        element.parentNode.removeChild(element)
