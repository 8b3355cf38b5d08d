"""The `quarterdeck` command and the supervisor that starts everything.

Owns what is typed, printed and returned to the shell, and the processes that
`quarterdeck up` runs. Owns no rule of trading and no format of a file: it
calls the packages below and shows their answers. Commands import what they
need when they run, because a backtest's figures wait for it.
"""
