use aviary_mesh::access_log::{Comparison, ISTIO_FORMAT, LogFilter};

use super::*;

/// One text, wherever it goes.
impl Texts for Vec<u8> {
    fn of(&mut self, _: &LogSink) -> &mut Vec<u8> {
        self
    }
}

#[derive(Default)]
struct Lines(Vec<(LogSink, Vec<u8>)>);

impl Texts for Lines {
    fn of(&mut self, sink: &LogSink) -> &mut Vec<u8> {
        self.0.push((sink.clone(), Vec::new()));
        &mut self.0.last_mut().unwrap().1
    }
}

fn variable(name: &str) -> Option<String> {
    (name == "POD").then(|| "reviews-v1-7d".to_owned())
}

fn host() -> Host<'static> {
    Host {
        name: "node-1",
        variable: &variable,
    }
}

fn entry() -> Entry {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_255_200_123);
    Entry {
        protocol: Some("HTTP/1.1"),
        code: 200,
        details: "via_upstream".into(),
        sent_bytes: 295,
        duration: Duration::from_micros(12_700),
        response_duration: Some(Duration::from_millis(11)),
        upstream_host: Some("10.244.0.9:9080".parse().unwrap()),
        cluster: "outbound|9080|v1|reviews.prod.svc.cluster.local".into(),
        upstream_local: Some("10.244.0.7:40000".parse().unwrap()),
        downstream_local: Some("10.96.3.4:9080".parse().unwrap()),
        downstream_remote: Some("10.244.0.7:39999".parse().unwrap()),
        ..Entry::new(start)
    }
}

fn request() -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method("GET");
    head.set_path("/reviews/0?x=1&user=jason");
    head.set_authority("reviews:9080");
    head.fields.append("User-Agent", b"curl/8");
    head.fields.append("x-request-id", b"id-1");
    head.fields.append("x-lane", b"gray \xff");
    head
}

fn response() -> ResponseHead {
    let mut head = ResponseHead::new(200);
    head.fields.append("x-envoy-upstream-service-time", b"11");
    head
}

fn log(format: LogFormat) -> AccessLog {
    AccessLog {
        sink: LogSink::Stdout,
        format,
        filter: None,
    }
}

fn text(format: &str) -> LogFormat {
    LogFormat::Text(format.to_owned())
}

fn json(format: &str) -> LogFormat {
    LogFormat::Json(format.to_owned())
}

fn every() -> Chosen {
    Chosen(u32::MAX)
}

fn written(logs: &Logs, entry: &Entry) -> String {
    let mut line = Vec::new();
    logs.write(every(), entry, &mut Moment::default(), &mut line);
    String::from_utf8(line).unwrap()
}

fn line(format: LogFormat, mut entry: Entry) -> String {
    let logs = Logs::new(&[log(format)], &host()).unwrap();
    if entry.protocol.is_some() {
        logs.request(&request(), &mut entry.values);
        logs.response(&response(), &mut entry.values);
        let mut trailers = Fields::new();
        trailers.append("grpc-message", b"fine");
        logs.trailers(&trailers, &mut entry.values);
    }
    written(&logs, &entry)
}

#[test]
fn write_istios_default_is_its_line() {
    assert_eq!(
        line(text(ISTIO_FORMAT), entry()),
        "[2026-11-21T10:00:00.123Z] \"GET /reviews/0?x=1&user=jason HTTP/1.1\" 200 - via_upstream - \"-\" \
         0 295 12 11 \"-\" \"curl/8\" \"id-1\" \"reviews:9080\" \"10.244.0.9:9080\" \
         outbound|9080|v1|reviews.prod.svc.cluster.local 10.244.0.7:40000 10.96.3.4:9080 \
         10.244.0.7:39999 - -\n"
    );
    assert_eq!(
        line(text(ISTIO_FORMAT), Entry::new(SystemTime::UNIX_EPOCH)),
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

/// Formats of one operator or a few, and what they give.
const OPERATORS: &[(&str, &str)] = &[
    ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):8%", "/reviews"),
    ("%REQ(:SCHEME)% %REQ(absent?also)%", "http -"),
    ("%REQ_WITHOUT_QUERY(:PATH)%", "/reviews/0"),
    ("%QUERY_PARAM(user)% %QUERY_PARAM(none)%", "jason -"),
    ("%REQ(X-LANE)%", "gray \u{fffd}"),
    ("%RESP(:STATUS)% %RESP(server)%", "200 -"),
    ("%TRAILER(GRPC-MESSAGE)%", "fine"),
    ("%PROTOCOL% %UPSTREAM_PROTOCOL%", "HTTP/1.1 HTTP/2"),
    (
        "%RESPONSE_CODE%/%RESPONSE_CODE_DETAILS%",
        "200/via_upstream",
    ),
    (
        "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%",
        "UF,URX UpstreamConnectionFailure,UpstreamRetryLimitExceeded",
    ),
    ("%BYTES_RECEIVED%+%BYTES_SENT%", "7+295"),
    (
        "%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%",
        "12 1 11 1",
    ),
    (
        "%UPSTREAM_TRANSPORT_FAILURE_REASON% %CONNECTION_TERMINATION_DETAILS%",
        "refused ended",
    ),
    (
        "%UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%",
        "10.244.0.9:9080 10.244.0.9 9080",
    ),
    (
        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_PORT%",
        "10.244.0.7 39999 9080",
    ),
    (
        "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "[::1]:5 ::1",
    ),
    ("%UPSTREAM_REQUEST_ATTEMPT_COUNT% %CONNECTION_ID%", "3 42"),
    (
        "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%",
        "Unavailable UNAVAILABLE 14",
    ),
    (
        "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%",
        "a.example TLSv1.3 TLS_AES_128_GCM_SHA256",
    ),
    (
        "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_URI_SAN% %UPSTREAM_PEER_URI_SAN%",
        "spiffe://a spiffe://b -",
    ),
    ("%ROUTE_NAME%", "default"),
    (
        "%TRACE_ID% %SPAN_ID%",
        "00000000000000000000000000000001 0000000000000002",
    ),
    (
        "%HOSTNAME% %ENVIRONMENT(POD):7% %ENVIRONMENT(NO)%",
        "node-1 reviews -",
    ),
    (
        "%DYNAMIC_METADATA(istio.mixer:status)% %FILTER_STATE(x)%",
        "- -",
    ),
    ("%START_TIME(%s.%3f)% 100%%", "1795255200.123 100%"),
];

fn full() -> Entry {
    Entry {
        upstream_protocol: Some("HTTP/2"),
        grpc_status: GrpcStatus::new(14),
        flags: Flags::UPSTREAM_CONNECTION_FAILURE.with(Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED),
        termination_details: "ended".into(),
        upstream_failure: "refused".into(),
        received_bytes: 7,
        request_duration: Some(Duration::from_millis(1)),
        attempts: 3,
        connection_id: 42,
        route: "default".into(),
        downstream_direct_remote: Some("[::1]:5".parse().unwrap()),
        downstream_tls: Tls {
            server_name: Some("a.example".into()),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            peer_uri_san: Some("spiffe://a".into()),
            local_uri_san: Some("spiffe://b".into()),
        },
        trace: Some(Context {
            trace_id: 1,
            span_id: 2,
            parent_id: 0,
            sampled: true,
        }),
        ..entry()
    }
}

#[test]
fn write_every_operator_gives_its_value() {
    for (format, want) in OPERATORS {
        assert_eq!(line(text(format), full()), *want, "{format}");
    }
}

#[test]
fn write_json_keeps_types_and_order() {
    let format = r#"{"status": "%RESPONSE_CODE%", "path": "%REQ(:PATH)%", "none": "%REQ(absent)%",
        "both": "%PROTOCOL% %REQ(absent)%", "fixed": "x \"y\"", "n": 3, "list": [true, "%DURATION%"],
        "nested": {"bytes": "%BYTES_SENT%"}, "empty": ""}"#;
    assert_eq!(
        line(json(format), entry()),
        concat!(
            r#"{"both":"HTTP/1.1 -","empty":"","fixed":"x \"y\"","list":[true,12],"n":3,"#,
            r#""nested":{"bytes":295},"none":null,"path":"/reviews/0?x=1&user=jason","status":200}"#,
            "\n"
        )
    );
}

#[test]
fn write_envoys_default_is_its_line() {
    assert_eq!(
        line(LogFormat::Default, entry()),
        "[2026-11-21T10:00:00.123Z] \"GET /reviews/0?x=1&user=jason HTTP/1.1\" 200 - 0 295 12 11 \
         \"-\" \"curl/8\" \"id-1\" \"reviews:9080\" \"10.244.0.9:9080\"\n"
    );
}

#[test]
fn write_hostile_header_stays_on_its_line() {
    let formats = [text("\"%REQ(A)%\"\n"), json(r#"{"a":"%REQ(A)%"}"#)];
    let logs = Logs::new(&formats.map(log), &host()).unwrap();
    let mut head = RequestHead::new();
    head.fields.append("a", b"a\"\t[b");
    let mut entry = entry();
    logs.request(&head, &mut entry.values);
    assert_eq!(
        written(&logs, &entry),
        "\"a\\\"\\x09[b\"\n{\"a\":\"a\\\"\\t[b\"}\n"
    );
}

#[test]
fn new_of_what_is_not_understood_is_refused() {
    for (format, message) in [
        ("%NO_SUCH%", "%NO_SUCH% is not supported"),
        ("%START_TIME", "byte 0"),
        ("ab %RESPONSE_CODE %", "byte 3"),
        ("%REQ()%", "%REQ% does not take the argument ()"),
        ("%REQ%", "%REQ% does not take the argument ()"),
        ("%DURATION(x)%", "%DURATION% does not take the argument (x)"),
        ("%START_TIME(%Q)%", "%START_TIME% does not take"),
        ("%REQ(a):b%", "byte 0"),
        ("%GRPC_STATUS(TINY)%", "%GRPC_STATUS% does not take"),
    ] {
        let logs = [log(LogFormat::Default), log(text(format))];
        let (number, error) = Logs::new(&logs, &host()).unwrap_err();
        assert_eq!(number, 1);
        assert!(error.to_string().contains(message), "{format}: {error}");
    }
    let (_, error) = Logs::new(&[log(json("{"))], &host()).unwrap_err();
    assert!(matches!(error, Error::Json(_)));
    let many = vec![log(LogFormat::Default); LIMIT + 1];
    let (number, error) = Logs::new(&many, &host()).unwrap_err();
    assert_eq!((number, error), (LIMIT, Error::TooMany { limit: LIMIT }));
}

#[test]
fn choose_asks_the_filter_of_each_log() {
    let only = |least| AccessLog {
        filter: Some(LogFilter::Status(Comparison::AtLeast(least))),
        sink: LogSink::File(least.to_string()),
        format: text("%RESPONSE_CODE%\n"),
    };
    let configured = [only(500), only(200), only(600), log(text("all\n"))];
    let logs = Logs::new(&configured, &host()).unwrap();
    let chosen = logs.choose(&Facts {
        code: 503,
        duration: Duration::ZERO,
        flags: Flags::NONE,
        sampled: false,
        header: &|_| false,
        draw: &|| 0.0,
    });
    let mut lines = Lines::default();
    let failed = Entry {
        code: 503,
        ..entry()
    };
    logs.write(chosen, &failed, &mut Moment::default(), &mut lines);
    let file = |name: &str| LogSink::File(name.into());
    let line = |text: &str| text.as_bytes().to_vec();
    assert_eq!(
        lines.0,
        [
            (file("500"), line("503\n")),
            (file("200"), line("503\n")),
            (LogSink::Stdout, line("all\n")),
        ]
    );
    assert!(!chosen.is_empty() && Chosen::default().is_empty());
}

#[test]
fn renew_forgets_everything_of_the_earlier_exchange() {
    let logs = Logs::new(&[log(text("%REQ(:PATH)%"))], &host()).unwrap();
    let mut entry = full();
    logs.request(&request(), &mut entry.values);
    assert_eq!(written(&logs, &entry), "/reviews/0?x=1&user=jason");
    entry.renew(SystemTime::UNIX_EPOCH);
    assert_eq!(written(&logs, &entry), "-");
    let new = Entry::new(SystemTime::UNIX_EPOCH);
    assert_eq!(format!("{entry:?}"), format!("{new:?}"));
}
