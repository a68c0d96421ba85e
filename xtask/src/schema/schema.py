"""Prints the fields of Envoy's messages that a configuration file of ours may hold.

Arguments: the folder of the .proto files (one subfolder per project). Run by `cargo xtask schema`.
"""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

# What a file may hold: the bootstrap, and what stands behind a `typed_config`.
ROOTS = [
    "envoy.config.bootstrap.v3.Bootstrap",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.route.v3.FilterConfig",
    "envoy.config.trace.v3.OpenTelemetryConfig",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
    "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
    "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
    "envoy.extensions.load_balancing_policies.random.v3.Random",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
    "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
    "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
]

# Fields of these types are listed, what is inside them is not: nothing of it is served.
CLOSED = (
    "cel.",
    "dev.cel.",
    "google.api.",
    "xds.",
    "envoy.admin.",
    "envoy.config.common.",
    "envoy.config.grpc_credential.",
    "envoy.config.metrics.",
    "envoy.config.overload.",
    "envoy.config.tap.",
    "envoy.config.bootstrap.v3.Watchdog",
    "envoy.config.core.v3.Http3ProtocolOptions",
    "envoy.config.core.v3.QuicProtocolOptions",
    "envoy.config.core.v3.HealthCheck",
    "envoy.config.listener.v3.UdpListenerConfig",
    "envoy.config.listener.v3.QuicProtocolOptions",
    "envoy.config.route.v3.RateLimit",
    "envoy.type.metadata.",
)

# Written in JSON in a way of their own.
WELL_KNOWN = {
    ".google.protobuf." + name
    for name in ("Any", "Duration", "Timestamp", "Struct", "Value", "ListValue", "FieldMask", "Empty")
} | {
    ".google.protobuf." + name + "Value"
    for name in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")
}

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {
    getattr(FIELD, "TYPE_" + name.upper()): name
    for name in (
        "double float int64 uint64 int32 fixed64 fixed32 bool string bytes uint32 sfixed32 sfixed64 sint32 sint64"
    ).split()
}


def compiled(folder):
    projects = [f for f in sorted(pathlib.Path(folder).iterdir()) if f.is_dir()]
    projects = [f / "proto" if (f / "proto").is_dir() else f for f in projects]
    files = [
        str(file.relative_to(project))
        for project in projects
        for file in sorted(project.glob("envoy/**/v3/*.proto"))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "descriptors"
        paths = [f"-I{project}" for project in projects]
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", *paths, "--include_imports", f"--descriptor_set_out={out}", *files],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


def collect(prefix, messages, enums, all_messages, all_enums):
    for enum in enums:
        all_enums[prefix + enum.name] = enum
    for message in messages:
        name = prefix + message.name
        all_messages[name] = message
        collect(name + ".", message.nested_type, message.enum_type, all_messages, all_enums)


def kind(field, messages):
    if field.type == FIELD.TYPE_ENUM:
        return "enum " + field.type_name[1:]
    if field.type != FIELD.TYPE_MESSAGE:
        return KINDS[field.type]
    if field.type_name in WELL_KNOWN:
        return "known " + field.type_name.rsplit(".", 1)[1]
    message = messages[field.type_name]
    if message.options.map_entry:
        key, value = message.field
        return f"map {kind(key, messages)} {kind(value, messages)}"
    return "message " + field.type_name[1:]


def main():
    messages, enums = {}, {}
    for file in compiled(sys.argv[1]).file:
        collect(f".{file.package}.", file.message_type, file.enum_type, messages, enums)
    waiting, seen, used_enums, lines = list(ROOTS), set(ROOTS), set(), []
    texts = {}
    while waiting:
        name = waiting.pop()
        message = messages["." + name]
        lines = [f"message {name}"]
        for field in message.field:
            word = kind(field, messages)
            parts = word.split()
            for what, target in zip(parts, parts[1:]):
                if what == "enum":
                    used_enums.add(target)
                elif what == "message" and target not in seen and not target.startswith(CLOSED):
                    seen.add(target)
                    waiting.append(target)
            if field.label == FIELD.LABEL_REPEATED and not word.startswith("map "):
                word = "repeated " + word
            oneof = ""
            if field.HasField("oneof_index") and not field.proto3_optional:
                oneof = " of " + message.oneof_decl[field.oneof_index].name
            lines.append(f"  {field.name} {field.number} {word}{oneof}")
        texts[name] = lines
    print("# Messages of Envoy's API that a configuration file may hold: `cargo xtask schema` writes this file.")
    print("# A type that is named and not listed exists in Envoy and is not served.")
    for name in sorted(texts):
        print("\n".join(texts[name]))
    for name in sorted(used_enums):
        print(f"enum {name}")
        for value in enums["." + name].value:
            print(f"  {value.name} {value.number}")


main()
