"""The HTTP API: commands in, read models out, server-sent events, and the pages that show them."""

PREFIX = "/api/v1"  # every path begins with it, except the probes, the documents and the pages
