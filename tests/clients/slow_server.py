"""A server that is a process, so that it can be killed and stopped.

usage: slow_server.py HOST:PORT NAME
Answers NAME; `/slow/MS` after so many milliseconds. Each request's id (`x-id`) is printed as it arrives.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        print(self.headers.get("x-id", "-"), flush=True)
        if self.path.startswith("/slow/"):
            time.sleep(int(self.path[6:]) / 1000)
        body = self.server.name
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


host, port = sys.argv[1].rsplit(":", 1)
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer.daemon_threads = True
server = ThreadingHTTPServer((host, int(port)), Handler)
server.name = sys.argv[2].encode()
print("ready", flush=True)
server.serve_forever()
