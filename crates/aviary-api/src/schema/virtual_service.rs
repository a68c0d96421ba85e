//! Fields of a `VirtualService`'s specification.

use super::{Field, choice, flag, integer, labels, list, map, object, percent, port, text};

/// The whole specification.
pub(crate) fn spec() -> Field {
    object(
        "Where requests for a host go.",
        vec![
            ("hosts", list("Hosts that the rules are for.", text(""))),
            (
                "gateways",
                list(
                    "Gateways that use the rules; `mesh` is every sidecar.",
                    text(""),
                ),
            ),
            (
                "http",
                list(
                    "Rules for HTTP; the first that matches is taken.",
                    http_route(),
                ),
            ),
            ("tls", Field::Later),
            (
                "tcp",
                list(
                    "Rules for connections to a Service's port of TCP; the first that matches is taken.",
                    tcp_route(),
                ),
            ),
            ("exportTo", Field::Later),
        ],
    )
}

fn http_route() -> Field {
    object(
        "",
        vec![
            ("name", text("Name, for logs.")),
            (
                "match",
                list("Conditions, any of which suffices.", http_match()),
            ),
            (
                "route",
                list("Destinations with their shares.", route_destination()),
            ),
            ("redirect", redirect()),
            ("directResponse", direct_response()),
            ("delegate", Field::Later),
            ("rewrite", rewrite()),
            (
                "timeout",
                text("For the whole request, such as `10s`; none by default."),
            ),
            ("retries", retries()),
            ("fault", fault()),
            ("mirror", destination("Gets a copy of the requests.")),
            ("mirrors", list("Get copies of the requests.", mirror())),
            (
                "mirrorPercent",
                integer("Share of copies for `mirror` in whole percent."),
            ),
            (
                "mirrorPercentage",
                percent("Share of copies for `mirror`; everything by default."),
            ),
            ("corsPolicy", cors_policy()),
            ("headers", headers()),
        ],
    )
}

fn tcp_route() -> Field {
    let matches = vec![
        ("destinationSubnets", Field::Later),
        ("port", integer("Port of the Service.")),
        ("sourceLabels", labels("Labels of the calling workload.")),
        ("gateways", list("Narrows the gateways.", text(""))),
        ("sourceSubnet", Field::Later),
        (
            "sourceNamespace",
            text("Namespace of the calling workload."),
        ),
    ];
    let destination = vec![
        ("destination", destination("Where to.")),
        ("weight", integer("Relative share.")),
    ];
    object(
        "",
        vec![
            (
                "match",
                list("Conditions, any of which suffices.", object("", matches)),
            ),
            (
                "route",
                list("Destinations with their shares.", object("", destination)),
            ),
        ],
    )
}

fn string_match(doc: &'static str) -> Field {
    object(
        doc,
        vec![
            ("exact", text("Equal.")),
            ("prefix", text("Starts with.")),
            (
                "regex",
                text("The whole value matches this RE2 expression."),
            ),
        ],
    )
}

/// Conditions on a request, of which all must hold.
pub(super) fn http_match() -> Field {
    object(
        "",
        vec![
            ("name", text("Name, for logs.")),
            ("uri", string_match("On the path.")),
            ("scheme", string_match("On the scheme.")),
            ("method", string_match("On the method.")),
            ("authority", string_match("On the host.")),
            (
                "headers",
                map("On headers; `{}` asks for presence.", string_match("")),
            ),
            (
                "withoutHeaders",
                map("On headers that must not match.", string_match("")),
            ),
            ("queryParams", map("On query parameters.", string_match(""))),
            ("ignoreUriCase", flag("Folds case of the path.")),
            (
                "port",
                integer("Port of the Service, or of the gateway's server."),
            ),
            ("sourceLabels", labels("Labels of the calling workload.")),
            (
                "sourceNamespace",
                text("Namespace of the calling workload."),
            ),
            ("gateways", list("Narrows the gateways.", text(""))),
            ("statPrefix", Field::Later),
        ],
    )
}

fn destination(doc: &'static str) -> Field {
    object(
        doc,
        vec![
            ("host", text("Service.")),
            ("subset", text("Subset of the host's DestinationRule.")),
            ("port", port("Port of the Service.")),
        ],
    )
}

fn route_destination() -> Field {
    object(
        "",
        vec![
            ("destination", destination("Where to.")),
            ("weight", integer("Relative share.")),
            ("headers", headers()),
        ],
    )
}

fn redirect() -> Field {
    object(
        "Answers with a redirect.",
        vec![
            ("uri", text("New path.")),
            ("authority", text("New host.")),
            ("port", integer("New port.")),
            (
                "derivePort",
                choice(
                    "New port: the scheme's own, or the one that the request came for.",
                    &["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"],
                ),
            ),
            ("scheme", choice("New scheme.", &["http", "https"])),
            (
                "redirectCode",
                integer("301 (default), 302, 303, 307 or 308."),
            ),
        ],
    )
}

fn cors_policy() -> Field {
    object(
        "Which web pages of other origins may call.",
        vec![
            (
                "allowOrigin",
                list("Older form of `allowOrigins`, exact.", text("")),
            ),
            (
                "allowOrigins",
                list("Origins that may call.", string_match("")),
            ),
            ("allowMethods", list("Methods that they may use.", text(""))),
            (
                "allowHeaders",
                list("Headers that they may send.", text("")),
            ),
            (
                "exposeHeaders",
                list("Headers that they may read.", text("")),
            ),
            (
                "maxAge",
                text("For how long browsers may keep the answer, such as `24h`."),
            ),
            (
                "allowCredentials",
                flag("Whether they may send credentials."),
            ),
            (
                "unmatchedPreflights",
                choice(
                    "What becomes of preflights of other origins; they go on by default.",
                    &["UNSPECIFIED", "FORWARD", "IGNORE"],
                ),
            ),
        ],
    )
}

fn direct_response() -> Field {
    let body = vec![("string", text("Text.")), ("bytes", Field::Later)];
    object(
        "Answers in place.",
        vec![
            ("status", integer("200 to 599.")),
            ("body", object("Body.", body)),
        ],
    )
}

fn rewrite() -> Field {
    let regex = vec![
        ("match", text("RE2 expression.")),
        ("rewrite", text("Replacement, with `\\1` for groups.")),
    ];
    object(
        "Changes path or host.",
        vec![
            ("uri", text("Replaces the matched prefix or path.")),
            ("authority", text("New host.")),
            (
                "uriRegexRewrite",
                object("Replaces what an expression matches.", regex),
            ),
        ],
    )
}

fn retries() -> Field {
    object(
        "When and how often to try again; two tries by default, 0 turns them off.",
        vec![
            ("attempts", integer("Tries after the first.")),
            ("perTryTimeout", text("For each try.")),
            (
                "retryOn",
                text("Conditions and status codes, separated by commas."),
            ),
            ("retryRemoteLocalities", Field::Later),
            (
                "retryIgnorePreviousHosts",
                flag("Avoids endpoints already tried."),
            ),
            (
                "backoff",
                text("First pause between tries; `25ms` by default."),
            ),
        ],
    )
}

fn fault() -> Field {
    let delay = vec![
        ("percent", integer("Older form of `percentage`.")),
        ("fixedDelay", text("How long.")),
        ("exponentialDelay", Field::Later),
        (
            "percentage",
            percent("Share of requests; none when absent."),
        ),
    ];
    let abort = vec![
        ("httpStatus", integer("200 to 599.")),
        (
            "grpcStatus",
            text("Name of a gRPC status, such as `UNAVAILABLE`."),
        ),
        ("http2Error", Field::Later),
        (
            "percentage",
            percent("Share of requests; none when absent."),
        ),
    ];
    object(
        "Injected faults.",
        vec![
            ("delay", object("A wait.", delay)),
            ("abort", object("An answer.", abort)),
        ],
    )
}

fn mirror() -> Field {
    object(
        "",
        vec![
            ("destination", destination("Where to.")),
            (
                "percentage",
                percent("Share of requests; everything when absent."),
            ),
        ],
    )
}

fn headers() -> Field {
    let operations = |doc| {
        object(
            doc,
            vec![
                ("set", labels("Overwrites.")),
                ("add", labels("Appends.")),
                ("remove", list("Removes.", text(""))),
            ],
        )
    };
    object(
        "Header changes.",
        vec![
            ("request", operations("Of the request.")),
            ("response", operations("Of the reply.")),
        ],
    )
}
