"""What a worker shows of itself over HTTP: read-only views, on 127.0.0.1 by default.

`web_server` listens and answers; `state` is the JSON of `/state`, which the page shows; `reading`
finds out whether reading is stuck; `page.html` is the live page, whole in one file.
"""

from streams.observe.web.web_server import WebServer

__all__ = ["WebServer"]
