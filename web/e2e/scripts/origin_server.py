"""Sends files as the origin of the idea sends tensors: read, as base64 in JSON, by Flask's own server.

usage: origin_server.py FOLDER     prints its port, and ends with its standard input

The work for a request is that of `get_gpt2_weights` in github.com/tanmaysachan/splitcompute, `server.py`.
"""

import base64
import os
import sys
import threading
from pathlib import Path

from flask import Flask
from werkzeug.serving import make_server

folder = Path(sys.argv[1])
app = Flask(__name__)


@app.get("/tensors/<name>")
def tensor(name):
    return {"layer": base64.b64encode((folder / Path(name).name).read_bytes()).decode("utf-8")}


@app.after_request
def readable_from_any_page(response):
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "no-store"
    return response


def end_with_input():
    sys.stdin.read()
    os._exit(0)


server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
