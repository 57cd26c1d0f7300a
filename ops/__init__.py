"""The command line, the local stack and the tools of an operator.

cli.py          registers the commands                    worker.py       the entry point of worker processes
commands/       one file per command or group: parse the arguments, call the logic, print the result
stack/          Kafka, MongoDB and workers on one machine
kafka/          read topics, send commands, manage groups letters/        parked and refused messages
versions/       versions of read models                   replay/         rebuild read models and tables
audit/          compare everything with the events        doctor/         check the installation
seeding/        sample data                               tracing/        flows of commands and events
schemas/        compare message schemas                   reference/      the generated parts of the documentation
http.py         a client of the HTTP API
"""
