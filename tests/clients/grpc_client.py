"""gRPC by its reference implementation: a server that echoes, and a client that judges the way to it.

usage: grpc_client.py serve HOST:PORT | check HOST:PORT [CERTIFICATE]
Messages are plain bytes, so that nothing is generated. The checks print one line each.
"""

import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "aviary.test.Echo"
OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    # A connection of its own for each channel.
    ("grpc.use_local_subchannel_pool", 1),
]


class Echo(grpc.GenericRpcHandler):
    """Four methods, one for each kind of call, and some that fail."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)

    def service(self, call):
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Slow": grpc.unary_unary_rpc_method_handler(self.slow),
            "Begun": grpc.unary_unary_rpc_method_handler(lambda *_: self.wait(self.begun)),
            "Cancelled": grpc.unary_unary_rpc_method_handler(lambda *_: self.wait(self.cancelled)),
            "Up": grpc.stream_unary_rpc_method_handler(lambda all, _: b"".join(all)),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Both": grpc.stream_stream_rpc_method_handler(lambda all, _: (part for part in all)),
            "BreakOff": grpc.unary_stream_rpc_method_handler(self.break_off),
        }
        return methods.get(call.method.rsplit("/", 1)[1])

    def unary(self, message, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-head", sent.get("x-mine", "none"))])
        context.set_trailing_metadata([("x-tail", "t"), ("x-tail-bin", b"\0\xff")])
        return message

    def fail(self, _, context):
        context.set_trailing_metadata([("x-why", "because")])
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing here: 100 % \u00e4")

    def slow(self, _, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        self.begun.release()
        if gone.wait(10):
            self.cancelled.release()
        return b""

    def wait(self, event):
        return b"yes" if event.acquire(timeout=5) else b"no"

    def down(self, message, _):
        for number in range(int(message)):
            yield b"%d" % number

    def break_off(self, _, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "broken off")


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[Echo()], options=OPTIONS)
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def unary(call):
    for size in (0, 1, 100, 70_000, 4 << 20):
        message = b"m" * size
        reply, rest = call("unary_unary", "Unary").with_call(
            message, timeout=20, metadata=[("x-mine", "mine")]
        )
        expect("message", reply == message, True)
        expect("metadata", dict(rest.initial_metadata()).get("x-head"), "mine")
        tail = dict(rest.trailing_metadata())
        expect("trailers", (tail.get("x-tail"), tail.get("x-tail-bin")), ("t", b"\0\xff"))


def many(call):
    method = call("unary_unary", "Unary")
    waiting = [method.future(b"%d" % n, timeout=20) for n in range(300)]
    for number, one in enumerate(waiting):
        expect("reply", one.result(), b"%d" % number)


def failing(call):
    try:
        call("unary_unary", "Fail")(b"", timeout=20)
    except grpc.RpcError as error:
        expect("status", error.code(), grpc.StatusCode.NOT_FOUND)
        expect("details", error.details(), "nothing here: 100 % \u00e4")
        expect("trailers", dict(error.trailing_metadata()).get("x-why"), "because")
        return
    raise AssertionError("no error came")


def unknown(call):
    try:
        call("unary_unary", "NoSuchMethod")(b"", timeout=20)
    except grpc.RpcError as error:
        return expect("status", error.code(), grpc.StatusCode.UNIMPLEMENTED)
    raise AssertionError("no error came")


def deadline(call):
    begun = time.monotonic()
    try:
        call("unary_unary", "Slow")(b"", timeout=0.5)
    except grpc.RpcError as error:
        expect("status", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    expect("in time", time.monotonic() - begun < 3, True)
    expect("the server began", call("unary_unary", "Begun")(b"", timeout=20), b"yes")
    expect("the server knows", call("unary_unary", "Cancelled")(b"", timeout=20), b"yes")


def cancelling(call):
    for _ in range(30):
        one = call("unary_unary", "Slow").future(b"", timeout=20)
        expect("the server began", call("unary_unary", "Begun")(b"", timeout=20), b"yes")
        one.cancel()
        expect("the server knows", call("unary_unary", "Cancelled")(b"", timeout=20), b"yes")


def up(call):
    parts = [b"%d," % n for n in range(1000)]
    expect("sum", call("stream_unary", "Up")(iter(parts), timeout=20), b"".join(parts))


def down(call):
    got = list(call("unary_stream", "Down")(b"1000", timeout=20))
    expect("parts", got, [b"%d" % n for n in range(1000)])


def both(call):
    """Ping-pong: each message leaves only when the one before came back."""
    turn = threading.Semaphore(1)

    def messages():
        for number in range(300):
            turn.acquire()
            yield b"%d" % number

    count = 0
    for reply in call("stream_stream", "Both")(messages(), timeout=30):
        expect("reply", reply, b"%d" % count)
        count += 1
        turn.release()
    expect("replies", count, 300)


def broken_off(call):
    got = []
    try:
        for part in call("unary_stream", "BreakOff")(b"", timeout=20):
            got.append(part)
    except grpc.RpcError as error:
        expect("status", error.code(), grpc.StatusCode.DATA_LOSS)
    expect("what came before", got, [b"first"])


def connect(address, trusted):
    if not trusted:
        return grpc.insecure_channel(address, options=OPTIONS)
    with open(trusted, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = OPTIONS + [("grpc.ssl_target_name_override", "a.test")]
    return grpc.secure_channel(address, credentials, options=options)


def check(address, trusted=None):
    with connect(address, trusted) as channel:

        def call(kind, name):
            return getattr(channel, kind)(f"/{SERVICE}/{name}")

        for one in (unary, many, failing, unknown, deadline, cancelling, up, down, both, broken_off):
            one(call)
            print(one.__name__, flush=True)


if __name__ == "__main__":
    {"serve": serve, "check": check}[sys.argv[1]](*sys.argv[2:])
