"""What tests need that want the real client library."""

from __future__ import annotations

import pytest

from scenarios.client_library import missing

needs_client = pytest.mark.skipif(
    bool(missing()),
    reason=f"not installed: {', '.join(missing())}; docs/client.md says how to install them",
)
