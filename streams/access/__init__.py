"""Access control: the checks that every web server of a worker makes before it answers a request."""
