"""Play an agent and look into its search: on a page in the browser, in a notebook's cell, in the terminal.

`desk.Desk` answers the page's requests; `server`, `widget` and `text` carry them.
"""
