"""Who may do what: the checks that every web server of a worker makes before it answers a request."""
