"""What a call refuses to do: its code and facts are asserted, not its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from acquisition.errors import InputError


def refused(call: Callable[[], Any]) -> InputError:
    """Return the error that the call raises."""
    with pytest.raises(InputError) as caught:
        call()
    return caught.value
