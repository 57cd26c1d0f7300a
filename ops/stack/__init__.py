"""The local stack: Kafka, MongoDB and the workers, run by one supervisor on one machine.

up.py           start everything in order, and stop it in order       background.py   the same as a background process
down.py         stop a running stack, or what a killed one left       restart.py      restart workers one by one
supervisor.py   keep child processes running                          workers.py      which workers run, and how
servers.py      start Kafka and MongoDB, or use running ones          kafka.py, mongod.py, folders.py, ports.py
cluster.py      how many servers, and the settings that name them all
state.py        the lock and the state file of a data directory       holders.py      which process holds a lock
status.py       what runs, what is ready, what lags                   logs.py, lifeline.py
"""
