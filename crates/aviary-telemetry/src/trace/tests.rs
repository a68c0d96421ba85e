use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SPAN: u64 = 0xb7ad_6b71_6920_3331;

const TRACED: Settings = traced(10_000, 10_000);
const UNTRACED: Settings = traced(0, 10_000);

const fn traced(random: u16, overall: u16) -> Settings {
    Settings {
        generate_request_id: true,
        tracing: Some(Tracing {
            random,
            client: 10_000,
            overall,
            begin: Formats {
                w3c: true,
                b3: true,
                b3_single: false,
            },
            spans: true,
        }),
    }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs {
        fields.append(*name, value.as_bytes());
    }
    fields
}

fn run(fields: &mut Fields, trust: Trust, settings: &Settings) -> Option<Context> {
    prepare(fields, trust, settings, &mut StdRng::seed_from_u64(1))
}

fn text<'f>(fields: &'f Fields, name: &str) -> &'f str {
    fields.text(name).unwrap_or("none")
}

#[test]
fn prepare_bare_request_gets_id_and_contexts() {
    let mut head = fields(&[]);
    let context = run(&mut head, Trust::Caller, &TRACED).unwrap();
    let id = text(&head, "x-request-id");
    assert_eq!(id.len(), 36);
    assert_eq!(id.as_bytes()[14], b'9');
    assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    let (trace, span) = (context.trace_text(), context.span_text());
    assert_eq!(text(&head, "traceparent"), format!("00-{trace}-{span}-01"));
    assert_eq!(text(&head, "x-b3-traceid"), trace);
    assert_eq!(text(&head, "x-b3-spanid"), span);
    assert_eq!(text(&head, "x-b3-sampled"), "1");
    assert_eq!(text(&head, "b3"), "none");
    assert!(context.sampled && context.parent_id == 0);
}

#[test]
fn prepare_unsampled_request_says_so() {
    let mut head = fields(&[]);
    let context = run(&mut head, Trust::Caller, &UNTRACED).unwrap();
    assert!(!context.sampled);
    assert_eq!(text(&head, "x-b3-sampled"), "0");
    assert!(text(&head, "traceparent").ends_with("-00"));
    assert_eq!(text(&head, "x-request-id").as_bytes()[14], b'4');
}

#[test]
fn prepare_without_tracing_only_passes_on() {
    let settings = Settings {
        generate_request_id: false,
        tracing: None,
    };
    let mut head = fields(&[("accept", "*/*")]);
    assert_eq!(run(&mut head, Trust::Caller, &settings), None);
    assert_eq!(head, fields(&[("accept", "*/*")]));
    let given = [("traceparent", PARENT), ("x-request-id", "mine")];
    let mut head = fields(&given);
    assert_eq!(run(&mut head, Trust::Caller, &settings), None);
    assert_eq!(head, fields(&given));
}

#[test]
fn prepare_without_a_form_to_begin_in_only_marks_the_request_id() {
    let mut settings = TRACED;
    let tracing = settings.tracing.as_mut().unwrap();
    (tracing.begin, tracing.spans) = (Formats::default(), false);
    let mut head = fields(&[]);
    assert_eq!(run(&mut head, Trust::Caller, &settings), None);
    assert_eq!(text(&head, "x-request-id").as_bytes()[14], b'9');
    assert_eq!(head.len(), 1);
    let mut head = fields(&[("traceparent", PARENT)]);
    let context = run(&mut head, Trust::Caller, &settings).unwrap();
    assert_eq!((context.trace_id, context.sampled), (TRACE, true));
    assert_eq!(text(&head, "traceparent"), PARENT);
}

#[test]
fn prepare_sampled_contexts_go_on_with_our_span() {
    let trace = format!("{TRACE:032x}");
    let span = format!("{SPAN:016x}");
    let single = format!("{trace}-{span}-1-05e3ac9a4f6e3b90");
    let many = [
        ("x-b3-traceid", trace.as_str()),
        ("x-b3-spanid", &span),
        ("x-b3-sampled", "1"),
    ];
    for given in [
        &[("traceparent", PARENT), ("tracestate", "a=b")][..],
        &[("b3", &single)],
        &many,
    ] {
        let mut head = fields(given);
        let context = run(&mut head, Trust::Caller, &UNTRACED).unwrap();
        assert_eq!((context.trace_id, context.parent_id), (TRACE, SPAN));
        assert!(context.sampled && context.span_id != SPAN);
        let ours = context.span_text();
        for (name, _) in given.iter().filter(|(name, _)| *name != "tracestate") {
            let value = text(&head, name);
            let carries = value.contains(&ours) || *name != "x-b3-spanid" && given.len() == 3;
            assert!(carries, "{name}: {value}");
        }
        let begun = ["traceparent", "b3", "x-b3-traceid"]
            .iter()
            .filter(|name| head.contains(**name))
            .count();
        assert_eq!(begun, 1, "only the form in which it came goes on");
    }
}

#[test]
fn prepare_unsampled_contexts_go_on_unchanged() {
    for given in [
        &[(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        )][..],
        &[
            ("x-b3-traceid", "1"),
            ("x-b3-spanid", "2"),
            ("x-b3-sampled", "0"),
        ],
        &[("b3", "80f198ee56343ba8-05e3ac9a4f6e3b90-0")],
    ] {
        let mut head = fields(given);
        let context = run(&mut head, Trust::Caller, &TRACED).unwrap();
        assert!(!context.sampled);
        head.remove("x-request-id");
        assert_eq!(head, fields(given));
    }
}

#[test]
fn prepare_open_decision_is_ours() {
    let given = [("x-b3-traceid", "1"), ("x-b3-spanid", "2")];
    for (settings, sampled) in [(TRACED, "1"), (UNTRACED, "0")] {
        let mut head = fields(&given);
        run(&mut head, Trust::Caller, &settings).unwrap();
        assert_eq!(text(&head, "x-b3-sampled"), sampled);
        assert_eq!(text(&head, "x-b3-traceid"), format!("{:032x}", 1));
    }
}

#[test]
fn prepare_b3_decision_alone_begins_a_trace_with_it() {
    for (value, sampled) in [("0", false), ("1", true), ("d", true)] {
        let mut head = fields(&[("b3", value)]);
        let context = run(&mut head, Trust::Caller, &TRACED).unwrap();
        assert_eq!(context.sampled, sampled, "{value}");
        assert!(text(&head, "b3").starts_with(&context.trace_text()));
    }
}

#[test]
fn prepare_broken_contexts_are_replaced() {
    for broken in [
        "00-zero",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
    ] {
        let mut head = fields(&[("traceparent", broken)]);
        let context = run(&mut head, Trust::Caller, &TRACED).unwrap();
        assert_ne!(context.trace_id, TRACE, "{broken}");
        assert!(text(&head, "traceparent").contains(&context.trace_text()));
        assert_eq!(head.get_all("traceparent").count(), 1);
    }
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
    let mut head = fields(&[("traceparent", later)]);
    let context = run(&mut head, Trust::Caller, &TRACED).unwrap();
    assert_eq!(context.trace_id, TRACE);
}

#[test]
fn prepare_callers_id_is_kept_only_from_the_trusted() {
    let given = [("x-request-id", "mine")];
    let mut head = fields(&given);
    run(&mut head, Trust::Caller, &UNTRACED);
    assert_eq!(text(&head, "x-request-id"), "mine");
    run(&mut head, Trust::Nobody, &UNTRACED);
    assert_eq!(text(&head, "x-request-id").len(), 36);
    let mut head = fields(&[("x-request-id", "a\tb")]);
    run(&mut head, Trust::Caller, &UNTRACED);
    assert_eq!(text(&head, "x-request-id").len(), 36);
}

#[test]
fn prepare_digit_of_the_id_decides_at_the_next_hop() {
    for (digit, sampled) in [("4", false), ("9", true), ("a", true), ("b", true)] {
        let id = format!("01234567-89ab-{digit}def-8123-456789abcdef");
        let mut head = fields(&[("x-request-id", &id)]);
        let context = run(&mut head, Trust::Caller, &UNTRACED).unwrap();
        assert_eq!(context.sampled, sampled, "{digit}");
        assert_eq!(text(&head, "x-request-id"), id);
    }
}

#[test]
fn prepare_asking_headers_force_a_trace() {
    for (name, trust, digit) in [
        ("x-client-trace-id", Trust::Nobody, b'b'),
        ("x-envoy-force-trace", Trust::Caller, b'a'),
        ("x-envoy-force-trace", Trust::Nobody, b'4'),
    ] {
        let mut head = fields(&[(name, "1")]);
        let context = run(&mut head, trust, &UNTRACED).unwrap();
        assert_eq!(text(&head, "x-request-id").as_bytes()[14], digit);
        assert_eq!(context.sampled, digit != b'4', "{name}");
    }
}

#[test]
fn prepare_rates_are_kept_over_many_requests() {
    let mut rng = StdRng::seed_from_u64(3);
    for (random, overall, want) in [
        (100, 10_000, 100),
        (5_000, 10_000, 5_000),
        (5_000, 100, 100),
    ] {
        let settings = traced(random, overall);
        let sampled = (0..10_000)
            .filter(|_| {
                let context = prepare(&mut Fields::new(), Trust::Caller, &settings, &mut rng);
                context.unwrap().sampled
            })
            .count();
        assert!(
            sampled.abs_diff(want) < 50 + want / 20,
            "{random}: {sampled}"
        );
    }
}

#[test]
fn share_percentages_become_parts_of_ten_thousand() {
    for (percent, share) in [
        (0.0, 0),
        (0.01, 1),
        (1.0, 100),
        (100.0, 10_000),
        (150.0, 10_000),
        (f64::NAN, 0),
    ] {
        assert_eq!(Tracing::share(percent), share, "{percent}");
    }
}

#[test]
fn attributes_are_envoys() {
    let span = Span {
        context: Context {
            trace_id: TRACE,
            span_id: SPAN,
            parent_id: 0,
            sampled: true,
        },
        trace_state: String::new(),
        kind: span::Kind::Client,
        name: "reviews.prod.svc.cluster.local:9080/*".into(),
        start: std::time::SystemTime::UNIX_EPOCH,
        duration: std::time::Duration::from_millis(3),
        request_id: "id".into(),
        method: "GET".into(),
        url: "http://reviews:9080/x".into(),
        protocol: "HTTP/1.1",
        user_agent: String::new(),
        downstream_cluster: String::new(),
        peer: Some("10.244.0.7:40000".parse().unwrap()),
        upstream_cluster: "outbound|9080|v1|reviews.prod.svc.cluster.local".into(),
        upstream_address: Some("10.244.0.9:9080".parse().unwrap()),
        code: 503,
        grpc_status: None,
        flags: crate::Flags::UPSTREAM_CONNECTION_FAILURE,
        received_bytes: 0,
        sent_bytes: 91,
    };
    let attributes: Vec<_> = span
        .attributes("sidecar~10.244.0.7~a.prod~prod.svc.cluster.local")
        .iter()
        .map(|attribute| format!("{}={}", attribute.name, attribute.value))
        .collect();
    assert_eq!(
        attributes,
        [
            "component=proxy",
            "node_id=sidecar~10.244.0.7~a.prod~prod.svc.cluster.local",
            "guid:x-request-id=id",
            "http.url=http://reviews:9080/x",
            "http.method=GET",
            "downstream_cluster=-",
            "user_agent=-",
            "http.protocol=HTTP/1.1",
            "peer.address=10.244.0.7",
            "request_size=0",
            "response_size=91",
            "response_flags=UF",
            "http.status_code=503",
            "upstream_cluster=outbound|9080|v1|reviews.prod.svc.cluster.local",
            "upstream_cluster.name=outbound|9080|v1|reviews.prod.svc.cluster.local",
            "upstream_address=10.244.0.9:9080",
            "error=true",
        ]
    );
}
