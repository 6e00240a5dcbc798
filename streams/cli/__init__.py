"""The command line: one thin module per command, `main` around them.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed while running, 2 wrong
usage or configuration, 130 interrupted. What a command needs is imported when it runs, so that
`streams --help` stays quick.
"""
