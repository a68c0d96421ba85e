//! What is told of traffic: logs as configured, spans, and nothing where nothing is wanted.

use ::http::Request;
use aviary_mesh::access_log::{AccessLog, Comparison, LogFilter, LogFormat, LogSink};
use aviary_mesh::listener::{Direction, HttpChain, TraceSink, Tracing};
use aviary_mesh::{ChainAction, Route};
use aviary_telemetry::trace::span::Kind;

use super::fixture::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn json(filter: Option<LogFilter>) -> AccessLog {
    let format = r#"{"code": "%RESPONSE_CODE%", "lane": "%REQ(X-LANE)%", "route": "%ROUTE_NAME%",
        "up": "%UPSTREAM_PROTOCOL%", "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "reply": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME):1%", "trace": "%TRACE_ID%"}"#;
    AccessLog {
        sink: LogSink::Stdout,
        format: LogFormat::Json(format.to_owned()),
        filter,
    }
}

fn chain(access_log: Vec<AccessLog>) -> HttpChain {
    HttpChain {
        access_log,
        ..http_chain(Direction::Outbound, "t")
    }
}

/// A proxy before one endpoint, and its address.
async fn proxy(chain: HttpChain) -> (Proxy, std::net::SocketAddr) {
    let (at, _) = named("hello").await;
    let address = free_address();
    let route = Route {
        operation: "reviews:9080/*".into(),
        ..route(forward_to(&[("c", 1)]))
    };
    let plan = Plan::default()
        .listener(listener(address, ChainAction::Http(chain)))
        .routes("reviews", vec![route])
        .cluster(cluster("c"), &[at]);
    (Proxy::start(plan).await, address)
}

fn request(pairs: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get("/x").header("host", "reviews");
    for (name, value) in pairs {
        request = request.header(*name, *value);
    }
    request.body(nothing()).unwrap()
}

#[test]
fn log_in_json_has_what_its_format_names() {
    on_worker_thread(async {
        let (mut proxy, address) = proxy(chain(vec![json(None)])).await;
        let mut caller = Caller::connect(address).await;
        caller.send(request(&[("x-lane", "gray")])).await;
        let line = text(&proxy.next_line().await);
        let (before, after) = line.split_once("\"reply\":\"").unwrap();
        let (millis, after) = after.split_once('"').unwrap();
        assert!(millis.parse::<u16>().is_ok(), "{line}");
        assert_eq!(
            (before, after),
            (
                "{\"code\":200,\"lane\":\"gray\",",
                ",\"route\":\"default\",\"trace\":null,\"tries\":1,\"up\":\"HTTP/1.1\"}\n"
            )
        );
    });
}

#[test]
fn log_with_a_filter_leaves_the_others_out() {
    on_worker_thread(async {
        let failed = LogFilter::Status(Comparison::AtLeast(400));
        let (mut proxy, address) = proxy(chain(vec![json(Some(failed))])).await;
        let mut caller = Caller::connect(address).await;
        assert_eq!(caller.send(request(&[])).await.status, 200);
        assert_eq!(caller.send(get("elsewhere", "/")).await.status, 404);
        assert_eq!(proxy.line().await.code, 404);
    });
}

#[test]
fn log_that_is_off_hands_nothing_over() {
    on_worker_thread(async {
        let (proxy, address) = proxy(chain(Vec::new())).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..100 {
            caller.send(request(&[("traceparent", PARENT)])).await;
        }
        assert!(proxy.metrics().await.contains("istio_requests_total{"));
        proxy.drain.cancel();
        drop(caller);
        let (lines, spans) = proxy.rest().await;
        assert_eq!((lines, spans), (0, 0));
    });
}

fn traced(random_percent: f64) -> HttpChain {
    HttpChain {
        tracing: Some(Tracing {
            random_percent,
            sink: Some(TraceSink {
                cluster: "otel".into(),
                service_name: "productpage.prod".into(),
                timeout: None,
            }),
            ..Tracing::default()
        }),
        ..chain(Vec::new())
    }
}

#[test]
fn span_of_a_sampled_request_says_how_it_went() {
    on_worker_thread(async {
        let (mut proxy, address) = proxy(traced(0.0)).await;
        let mut caller = Caller::connect(address).await;
        // By itself nothing is sampled here, but the caller's word counts.
        caller.send(request(&[])).await;
        caller.send(request(&[("traceparent", PARENT)])).await;
        let [traced] = &proxy.spans.recv().await.unwrap()[..] else {
            panic!("one span");
        };
        let span = &traced.span;
        assert!(PARENT.contains(&span.context.trace_text()));
        assert_eq!(span.context.parent_id, 0xb7ad_6b71_6920_3331);
        assert_eq!((span.kind, span.code), (Kind::Client, 200));
        assert_eq!(span.name, "reviews:9080/*");
        assert_eq!(span.url, "http://reviews/x");
        assert_eq!(span.upstream_cluster, "c");
        assert!(span.upstream_address.is_some() && span.peer.is_some());
        assert_eq!((span.protocol, span.sent_bytes), ("HTTP/1.1", 5));
    });
}

#[test]
fn span_is_made_of_every_request_at_a_rate_of_all() {
    on_worker_thread(async {
        let (mut proxy, address) = proxy(traced(100.0)).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..3 {
            caller.send(request(&[])).await;
        }
        let mut spans = Vec::new();
        while spans.len() < 3 {
            spans.extend(proxy.spans.recv().await.unwrap());
        }
        assert!(spans.iter().all(|it| it.span.context.parent_id == 0));
        assert_eq!(spans[0].span.request_id.as_bytes()[14], b'9');
    });
}
