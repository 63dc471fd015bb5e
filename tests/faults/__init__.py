"""Faults: real processes are killed, frozen and cut off, over servers of the tests' own. Run by `make faults`.

faults.py        the list of faults
servers.py       a Postgres and a Redis on free ports, to be killed and started again
proxy.py         a TCP proxy in front of each: cut, refuse, black hole, delay, drop a reply
deployment.py    API and workers as processes over them, and the way to submit jobs
stage.py         the servers with a small world on them, and fresh deployments
hosts.py         network namespaces as hosts, whose cables can be pulled
child.py         a child without a model that does what its data set says
ledger.py        what must hold of a job's row, events and measurement, whatever happened
soak.py          minutes of random kills while jobs are submitted; run by `make soak`
conftest.py      fixtures, and the table fault -> test -> result that is printed at the end
"""
