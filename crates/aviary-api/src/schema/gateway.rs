//! Fields of a `Gateway`'s specification.

use super::{Field, integer, labels, list, object, text};

/// The whole specification.
pub(crate) fn spec() -> Field {
    let port = vec![
        (
            "number",
            integer("Port of the gateway's Service, 1 to 65535."),
        ),
        ("protocol", text("`HTTP` or `HTTP2`.")),
        ("name", text("Name.")),
        ("targetPort", Field::Later),
    ];
    let server = vec![
        ("port", object("Where it listens.", port)),
        ("bind", Field::Later),
        (
            "hosts",
            list(
                "Hosts, each `host`, `namespace/host`, `./host` or `*/host`.",
                text(""),
            ),
        ),
        ("tls", Field::Later),
        ("defaultEndpoint", Field::Later),
        ("name", text("Name.")),
    ];
    object(
        "Ports and hosts that a gateway workload serves.",
        vec![
            ("selector", labels("Labels of the gateway's pods.")),
            ("servers", list("Ports and hosts.", object("", server))),
        ],
    )
}
