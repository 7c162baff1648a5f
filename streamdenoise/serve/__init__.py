"""`streamdenoise serve`: many cameras in one service, with a page in the browser.

`config` reads the file of cameras; `workers` runs them in child processes; `media`
makes what a browser shows of them; `web` is the page and its API. `service` is the
seam: what the page, the metrics and home automation ask of the cameras.
"""
