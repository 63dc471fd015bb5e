"""The command line, `forgetcast`. A command is imported when it is called, so that help needs click alone."""

from __future__ import annotations

import click

from forgetcast.cli.lazy_group import Command, RootGroup

COMMANDS = {
    "init": Command("forgetcast.cli.init:init", "Begin with a model of your own: a folder with forgetcast.toml."),
    "seed": Command(
        "forgetcast.cli.seed:seed", "Measure known rows, the most telling first; says before what it costs."
    ),
    "forecast": Command("forgetcast.cli.forecast:forecast", "Forecast what fine-tuning on a file makes forgotten."),
    "fill": Command("forgetcast.cli.fill:fill", "Forecast from a file of known rows and measured cells, no service."),
    "dataset": Command("forgetcast.cli.dataset:dataset", "Say what fine-tuning data are read as, without a service."),
    "forgotten": Command("forgetcast.cli.forgotten:forgotten", "Show the most forgotten upstream examples of a task."),
    "replay": Command("forgetcast.cli.replay:replay", "Write the replay set of a task into a folder."),
    "gate": Command(
        "forgetcast.cli.gate:gate", "Judge a task by a policy, for a release: pass, fail, or what to measure."
    ),
    "compare": Command("forgetcast.cli.compare:compare", "Compare two models, example by example: is B worse than A?"),
    "measure": Command(
        "forgetcast.cli.measure:measure", "Measure more of a task, or post what a run of yours measured."
    ),
    "score": Command("forgetcast.cli.score:score", "Measure the weights to be released on this machine, for the gate."),
    "probe-set": Command(
        "forgetcast.cli.probe_set:probe_set", "Show which upstream examples to measure for a new task."
    ),
    "task": Command("forgetcast.cli.task:task", "List, register, read, wait for, follow, cancel and release tasks."),
    "matrix": Command("forgetcast.cli.matrix:matrix", "List, read, import and export matrices of known rows."),
    "upstream": Command("forgetcast.cli.upstream:upstream", "Import, sample and generate upstream examples."),
    "backtest": Command("forgetcast.cli.backtest:backtest", "Measure how good forecasts are on rows that are known."),
    "analyse": Command(
        "forgetcast.cli.analyse:analyse", "Describe known rows: rank, noise, who forgets, what is forgotten."
    ),
    "key": Command("forgetcast.cli.key:key", "Make, list, rotate and revoke API keys."),
    "doctor": Command("forgetcast.cli.doctor:doctor", "Check service, key, workers and this machine."),
    "login": Command("forgetcast.cli.login:login", "Store a service's URL and your API key for it."),
    "logout": Command("forgetcast.cli.login:logout", "Delete what login stored."),
    "token": Command("forgetcast.cli.token:token", "Print what a service without API keys asks other programs for."),
    "completion": Command("forgetcast.cli.completion:completion", "Make a shell complete commands and options."),
    # Server commands live outside the wheel; a string is not an import.
    "up": Command("service.commands:up", "Run everything on this machine: API and one worker, nothing to configure."),
    "serve": Command("service.commands:serve", "Run the API."),
    "worker": Command("workers.commands:worker", "Run a worker, which fine-tunes and measures."),
    "migrate": Command("service.commands:migrate", "Bring the database to this version's schema."),
}

EPILOG = """\b
Data goes to stdout, progress and errors to stderr.
Exit codes: 0 done, 1 error, 2 usage, 4 authentication, 5 timeout, 130 Ctrl-C; of `gate` 3 fail, 6 inconclusive.
Environment: FORGETCAST_URL and FORGETCAST_API_KEY go before what `forgetcast login` stored; FORGETCAST_HOME.
"""

main = RootGroup(
    name="forgetcast",
    commands=COMMANDS,
    help="Forecast which upstream examples a language model forgets when it is fine-tuned on a new task.",
    epilog=EPILOG,
)
click.version_option(package_name="forgetcast", message="%(prog)s %(version)s")(main)
