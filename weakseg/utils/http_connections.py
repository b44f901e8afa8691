"""Connections of a small HTTP server, of which those that send no request do not keep others out.
Imported late: it needs uvicorn."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0  # seconds in which the head of a request has to arrive


class Connection(H11Protocol):
    """One that is closed if no request comes: any program of this machine may open as many as the
    server has, and say nothing."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._look, None)

    def _look(self, before: object) -> None:
        """Close the connection unless a request has come since the last look, or is answered."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is before:
            self.transport.close()
        elif not self.transport.is_closing():
            self.loop.call_later(PATIENCE, self._look, self.cycle)
