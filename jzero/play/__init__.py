"""Play against an agent and inspect its search: on a page in the browser, in a notebook cell, in the terminal.

`desk.Desk` answers the requests; `server`, `widget` and `text` transport them.
"""
