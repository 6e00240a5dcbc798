"""The command line: one thin module per command, `main` around them; the process begins in `entry`.

`demo_command`, `worker_command`, `publish_command`, `tail_command`, `dead_command`, `diff_command`,
`map_command`, `replay_command` (`replay_request` and `replay_tasks`: what it is given,
`replay_money`: the question before it, `replay_runs`: its work), `check_command` (it asks the world
through `access` and `api_access`), `broker_command` and `simulate_command` parse options and call
what does the work; `options`, `printing` and `stopping` are shared; `later` refuses what this
version does not carry out. Data goes to stdout, everything else to stderr. What a command needs is
imported when it runs, so that `streams --help` stays quick.
"""
