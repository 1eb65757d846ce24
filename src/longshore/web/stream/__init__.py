"""News to many at once: WebSockets and server-sent events over one hub; knows no kind (docs/stream.md)."""
