"""The Hub of the tests for the tests of this folder."""

from tests.hub.fixtures import hub, hub_client

__all__ = ["hub", "hub_client"]
