"""Commands over HTTP: from the request to its outcome."""
