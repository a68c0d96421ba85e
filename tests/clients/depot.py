"""A server that takes uploads and gives downloads of any size, and keeps nothing of them.

usage: depot.py HOST:PORT
`GET /…/N` gives N bytes; whatever has a body is answered with the body's length.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PART = 256 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    part = b"x" * PART

    def do_GET(self):
        size = int(self.path.rsplit("/", 1)[1] or 0)
        self.send_response(200)
        self.send_header("content-length", str(size))
        self.end_headers()
        while size > 0:
            sent = min(size, PART)
            self.wfile.write(self.part[:sent])
            size -= sent

    def do_PUT(self):
        buffer = memoryview(bytearray(PART))
        size = 0
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline(), 16):
                size += self.swallow(buffer, length)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            size = self.swallow(buffer, int(self.headers.get("content-length", 0)))
        answer = str(size).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT

    def swallow(self, buffer, length):
        left = length
        while left > 0:
            got = self.rfile.readinto(buffer[: min(left, PART)])
            if not got:
                raise ConnectionError("the body ended early")
            left -= got
        return length

    def log_message(self, *_):
        pass


host, port = sys.argv[1].rsplit(":", 1)
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer.daemon_threads = True
server = ThreadingHTTPServer((host, int(port)), Handler)
print("ready", flush=True)
server.serve_forever()
