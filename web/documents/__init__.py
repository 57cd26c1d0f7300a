"""OpenAPI, AsyncAPI and the pages that browsers load."""
