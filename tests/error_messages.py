"""What errors say, without the lines of tests, shared by tests that keep it in goldens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest


def error_message(function: Callable[..., Any], *args: Any) -> str:
    """Return the class and the message of what a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the golden says which
        function(*args)
    text = re.sub(r"(test_\w+\.py):\d+", r"\1:N", str(caught.value))
    text = re.sub(r"(?m)^  .*/(test_\w+\.py)", r"  \1", text)
    text = re.sub(r"(?m)^ *\d+ \|", "      N |", text)
    return f"{type(caught.value).__name__}: {text}\n"
