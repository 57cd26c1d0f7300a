"""The process: settings, its Faust app, its web server, logs, faults."""
