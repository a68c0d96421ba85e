use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use ::http::Request;
use aviary_mesh::ChainAction;
use aviary_mesh::cluster::UpstreamProtocol;
use aviary_mesh::listener::Direction;
use aviary_mesh::route::{HeaderEdits, Mirror, PathRewrite, Redirect, Retry, RouteAction};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::*;

#[test]
fn request_keep_alive_reuses_one_upstream_connection() {
    on_worker_thread(async {
        let (at, seen) = named("v1").await;
        let address = free_address();
        let _proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[at])).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..5 {
            let got = caller.get("/reviews/0").await;
            assert_eq!((got.status, got.body.as_str()), (200, "v1"));
            assert_eq!(got.headers["server"], "istio-envoy");
            assert!(got.headers.contains_key("x-envoy-upstream-service-time"));
        }
        assert_eq!((seen.connections.get(), seen.requests.get()), (1, 5));
    });
}

/// An address for a proxy, and two servers that say which they are.
async fn one_or_two() -> (SocketAddr, [SocketAddr; 2]) {
    let (one, _) = named("v1").await;
    let (two, _) = named("v2").await;
    (free_address(), [one, two])
}

#[test]
fn configuration_is_in_use_once_the_worker_answers() {
    on_worker_thread(async {
        let (address, [one, two]) = one_or_two().await;
        let plan = |at| simple(address, forward_to(&[("c", 1)]), &[at]);
        let proxy = Proxy::start(plan(one)).await;
        let mut caller = Caller::connect(address).await;
        // Which of two channels is looked at first is left to chance.
        for _ in 0..32 {
            for (at, want) in [(two, "v2"), (one, "v1")] {
                proxy.apply(plan(at)).await;
                assert_eq!(caller.get("/").await.body, want);
            }
        }
    });
}

#[test]
fn configuration_reaches_a_worker_that_drains() {
    on_worker_thread(async {
        let (address, [one, two]) = one_or_two().await;
        let plan = |at| simple(address, forward_to(&[("c", 1)]), &[at]);
        let proxy = Proxy::start(plan(one)).await;
        let mut caller = Caller::connect(address).await;
        assert_eq!(caller.get("/").await.body, "v1");
        proxy.drain.cancel();
        proxy.apply(plan(two)).await;
        assert_eq!(caller.get("/").await.body, "v2");
    });
}

#[test]
fn request_split_follows_its_weights() {
    on_worker_thread(async {
        let (one, _) = named("v1").await;
        let (two, seen) = named("v2").await;
        let address = free_address();
        let plan = simple(address, forward_to(&[("c", 90), ("d", 10)]), &[one])
            .cluster(cluster("d"), &[two]);
        let _proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..1000 {
            assert_eq!(caller.get("/").await.status, 200);
        }
        // Four standard deviations of a binomial with n = 1000 and p = 0.1.
        assert!(
            (62..=138).contains(&seen.requests.get()),
            "{}",
            seen.requests.get()
        );
    });
}

#[test]
fn request_unknown_host_is_404_nr() {
    on_worker_thread(async {
        let address = free_address();
        let chain = http_chain(Direction::Outbound, "t");
        let plan = Plan::default()
            .listener(listener(address, ChainAction::Http(chain)))
            .routes("reviews", vec![route(forward_to(&[("c", 1)]))]);
        let mut proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        let got = caller.send(get("elsewhere", "/")).await;
        assert_eq!((got.status, got.body.as_str()), (404, ""));
        let line = proxy.line().await;
        assert_eq!(
            (line.flags.text().as_ref(), line.details.as_ref()),
            ("NR", "route_not_found")
        );
        // The host is known, its cluster is not.
        assert_eq!(caller.get("/").await.status, 503);
        let line = proxy.line().await;
        assert_eq!(
            (line.flags.text().as_ref(), line.details.as_ref()),
            ("NC", "cluster_not_found")
        );
    });
}

#[test]
fn request_head_goes_up_with_edits_rewrite_and_ids() {
    on_worker_thread(async {
        let heads = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&heads);
        let (at, _) = server(move |request, _| {
            log.borrow_mut().push(request.map(drop));
            async { answer(200, "") }
        })
        .await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.rewrite = Some(PathRewrite::Prefix("/new".into()));
        forward.host_rewrite = Some("ratings".into());
        let mut route = route(forward);
        route.matches.path = aviary_mesh::route::PathMatch::Prefix("/old".into());
        route.request_headers = HeaderEdits {
            set: vec![("x-set".into(), "1".into())],
            ..HeaderEdits::default()
        };
        route.response_headers = HeaderEdits {
            add: vec![("x-reply".into(), "2".into())],
            ..HeaderEdits::default()
        };
        let plan = simple(address, forward_to(&[("c", 1)]), &[at]).routes("*", vec![route]);
        let _proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        let request = Request::builder()
            .uri("/old/x?q=1")
            .header("host", "reviews:9080")
            .header("x-request-id", "mine")
            .header("keep-alive", "timeout=5")
            .body(nothing())
            .unwrap();
        let got = caller.send(request).await;
        assert_eq!(got.headers["x-reply"], "2");
        let heads = heads.borrow();
        let head = &heads[0];
        assert_eq!(head.uri(), "/new/x?q=1");
        for (name, value) in [
            ("host", "ratings"),
            ("x-request-id", "mine"),
            ("x-set", "1"),
            ("x-forwarded-proto", "http"),
            ("x-envoy-attempt-count", "1"),
        ] {
            assert_eq!(head.headers()[name], value, "{name}");
        }
        assert!(!head.headers().contains_key("traceparent"));
        assert!(!head.headers().contains_key("keep-alive"));
    });
}

#[test]
fn request_at_the_edge_loses_its_claims() {
    on_worker_thread(async {
        let heads = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&heads);
        let (at, _) = server(move |request, _| {
            log.borrow_mut().push(request.headers().clone());
            async { answer(200, "") }
        })
        .await;
        let address = free_address();
        let mut chain = http_chain(Direction::Outbound, "t");
        chain.use_remote_address = true;
        let plan = simple(address, forward_to(&[("c", 1)]), &[at])
            .listener(listener(address, ChainAction::Http(chain)));
        let _proxy = Proxy::start(plan).await;
        let request = Request::builder()
            .uri("/")
            .header("host", "reviews")
            .header("x-forwarded-for", "1.2.3.4")
            .header("x-envoy-retry-on", "5xx")
            .body(nothing())
            .unwrap();
        Caller::connect(address).await.send(request).await;
        let heads = heads.borrow();
        assert_eq!(heads[0]["x-forwarded-for"], "127.0.0.1");
        assert!(!heads[0].contains_key("x-envoy-retry-on"));
    });
}

#[test]
fn request_redirect_and_direct_answer_in_place() {
    on_worker_thread(async {
        let address = free_address();
        let mut redirect = route(forward_to(&[]));
        redirect.matches.path = aviary_mesh::route::PathMatch::Exact("/go".into());
        redirect.action = RouteAction::Redirect(Redirect {
            host: Some("new".into()),
            status: 301,
            ..Redirect::default()
        });
        let mut direct = route(forward_to(&[]));
        direct.action = RouteAction::Direct(aviary_mesh::route::DirectResponse {
            status: 418,
            body: "short".into(),
        });
        let plan = simple(address, forward_to(&[]), &[]).routes("*", vec![redirect, direct]);
        let mut proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        let got = caller.get("/go").await;
        assert_eq!(
            (got.status, got.headers["location"].as_bytes()),
            (301, &b"http://new/go"[..])
        );
        let got = caller.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (418, "short"));
        assert_eq!(proxy.line().await.code, 301);
        assert_eq!(proxy.line().await.details, "direct_response");
    });
}

#[test]
fn request_mirror_gets_the_whole_copy() {
    on_worker_thread(async {
        let (one, _) = named("v1").await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (two, _) = server(move |request, _| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            tell.send((host, request.into_body())).unwrap();
            async { answer(500, "") }
        })
        .await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.mirrors = vec![Mirror {
            cluster: "d".into(),
            percent: 100.0,
            shadow_host: true,
            ..Mirror::default()
        }];
        let plan = simple(address, forward, &[one]).cluster(cluster("d"), &[two]);
        let _proxy = Proxy::start(plan).await;
        let request = Request::post("/")
            .header("host", "reviews:9080")
            .body(whole("data"));
        let got = Caller::connect(address).await.send(request.unwrap()).await;
        assert_eq!(got.status, 200);
        let (host, body) = told.recv().await.unwrap();
        assert_eq!(
            (host.as_str(), body.as_ref()),
            ("reviews-shadow:9080", &b"data"[..])
        );
    });
}

#[test]
fn request_through_two_proxies_names_both_workloads() {
    on_worker_thread(async {
        let heads = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&heads);
        let (at, _) = server(move |request, _| {
            log.borrow_mut().push(request.headers().clone());
            async { answer(200, "v1") }
        })
        .await;
        let (outer, inner) = (free_address(), free_address());
        let mut inbound = http_chain(Direction::Inbound, "t");
        inbound.routes = aviary_mesh::listener::RouteSource::Inline(std::sync::Arc::new(
            aviary_mesh::RouteTable {
                name: "inbound".into(),
                virtual_hosts: vec![aviary_mesh::VirtualHost {
                    name: "inbound".into(),
                    domains: vec!["*".into()],
                    routes: vec![route(forward_to(&[("in", 1)]))],
                    include_attempt_count: false,
                    ..aviary_mesh::VirtualHost::default()
                }],
                ignore_port_in_host: false,
                ..aviary_mesh::RouteTable::default()
            },
        ));
        let plan = simple(outer, forward_to(&[("c", 1)]), &[inner])
            .listener(listener(inner, ChainAction::Http(inbound)))
            .cluster(cluster("in"), &[at]);
        let proxy = Proxy::start(plan).await;
        let got = Caller::connect(outer).await.get("/").await;
        assert!(!got.headers.contains_key("x-envoy-peer-metadata"));
        assert!(!heads.borrow()[0].contains_key("x-envoy-peer-metadata"));
        // A caller that is no proxy is told nothing either.
        let got = Caller::connect(inner).await.get("/").await;
        assert!(!got.headers.contains_key("x-envoy-peer-metadata"));
        let text = proxy.metrics().await;
        let count = |parts: &[&str]| {
            text.lines()
                .filter(|line| line.starts_with("istio_requests_total{"))
                .filter(|line| parts.iter().all(|part| line.contains(part)) && line.ends_with(" 1"))
                .count()
        };
        assert_eq!(
            count(&[
                "reporter=\"source\"",
                "source_workload=\"productpage-v1\"",
                "destination_workload=\"reviews-v1\"",
                "destination_service=\"reviews.prod.svc.cluster.local\"",
            ]),
            1
        );
        assert_eq!(
            count(&[
                "reporter=\"destination\"",
                "source_workload=\"productpage-v1\"",
                "response_code=\"200\"",
                "connection_security_policy=\"none\"",
            ]),
            1
        );
    });
}

/// The application of an endpoint is gone while its proxy is still there, as at the end of a pod.
#[test]
fn request_that_no_application_got_is_sent_to_another_endpoint() {
    on_worker_thread(async {
        let (at, seen) = named("v1").await;
        let (outer, inner, gone) = (free_address(), free_address(), free_address());
        let mut inbound = http_chain(Direction::Inbound, "in");
        inbound.server_name = "inner".into();
        let mut plan = simple(outer, forward_to(&[("c", 1)]), &[inner, at])
            .listener(listener(inner, ChainAction::Http(inbound)))
            .cluster(cluster("app"), &[gone]);
        let mut table = plan.0.routes["t"].as_ref().clone();
        table.name = "in".into();
        table.virtual_hosts[0].routes = vec![route(forward_to(&[("app", 1)]))];
        plan.0
            .routes
            .insert("in".into(), std::sync::Arc::new(table));
        let mut outbound = plan.0.routes["t"].as_ref().clone();
        for route in &mut outbound.virtual_hosts[0].routes {
            if let RouteAction::Forward(forward) = &mut route.action {
                forward.retry = Some(Retry {
                    on: vec!["connect-failure".into()],
                    attempts: 2,
                    avoid_previous: 5,
                    ..Retry::default()
                });
            }
        }
        plan.0
            .routes
            .insert("t".into(), std::sync::Arc::new(outbound));
        let _proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(outer).await;
        // Fewer than the budget of retries has: every other one needs two tries.
        for number in 0..10 {
            // Not only what changes nothing: the application got none of it.
            let request = Request::post("/").header("host", "reviews:9080");
            let got = caller.send(request.body(whole("data")).unwrap()).await;
            assert_eq!((got.status, &*got.body), (200, "v1"), "{number}");
            assert!(!got.headers.contains_key("x-aviary-unreached"));
        }
        assert_eq!(seen.requests.get(), 10);
        // A caller that is no proxy is told nothing of it.
        let got = Caller::connect(inner).await.get("/").await;
        assert_eq!(got.status, 503);
        assert!(!got.headers.contains_key("x-aviary-unreached"));
    });
}

#[test]
fn request_line_is_istios() {
    on_worker_thread(async {
        let (at, _) = named("hello").await;
        let address = free_address();
        let mut proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[at])).await;
        let request = Request::post("/reviews/0?x=1")
            .header("host", "reviews:9080")
            .header("user-agent", "test")
            .header("x-request-id", "id-1")
            .body(whole("data"));
        let mut caller = Caller::connect(address).await;
        let got = caller.send(request.unwrap()).await;
        let mut line = proxy.next_line().await;
        line.entry.start = SystemTime::UNIX_EPOCH;
        line.entry.duration = Duration::from_millis(3);
        let remote = line.entry.downstream_remote.unwrap();
        let local = line.entry.upstream_local.unwrap();
        let took = got.headers["x-envoy-upstream-service-time"]
            .to_str()
            .unwrap();
        assert_eq!(
            text(&line),
            format!(
                "[1970-01-01T00:00:00.000Z] \"POST /reviews/0?x=1 HTTP/1.1\" 200 - via_upstream - \"-\" \
                 4 5 3 {took} \"-\" \"test\" \"id-1\" \"reviews:9080\" \"{at}\" c {local} {address} \
                 {remote} - default\n"
            )
        );
    });
}

#[test]
fn request_client_that_leaves_is_recorded_as_dc() {
    on_worker_thread(async {
        let (at, seen) = server(|_, _| std::future::pending()).await;
        let address = free_address();
        let mut proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[at])).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n")
            .await
            .unwrap();
        while seen.requests.get() == 0 {
            tokio::task::yield_now().await;
        }
        // With a reset: one that only stops to send still gets its reply.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(stream);
        let line = proxy.line().await;
        assert_eq!((line.code, line.flags.text().as_ref()), (0, "DC"));
    });
}

#[test]
fn request_without_host_is_refused() {
    on_worker_thread(async {
        let address = free_address();
        let _proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[])).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    });
}

#[test]
fn request_websocket_becomes_a_tunnel() {
    on_worker_thread(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(
                String::from_utf8(head)
                    .unwrap()
                    .contains("upgrade: websocket")
            );
            let reply = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(reply).await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.websocket = true;
        let _proxy = Proxy::start(simple(address, forward, &[at])).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let ask =
            b"GET / HTTP/1.1\r\nhost: reviews\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        stream.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"ping");
    });
}

#[test]
fn request_goes_up_as_what_the_client_speaks_where_the_cluster_asks_for_that() {
    on_worker_thread(async {
        let (web, _) = named("reviews").await;
        let (outer, inner) = (free_address(), free_address());
        let mut inside = Proxy::start(simple(inner, forward_to(&[("c", 1)]), &[web])).await;
        let mut alike = cluster("c");
        alike.protocol = UpstreamProtocol::Downstream;
        let plan = simple(outer, forward_to(&[("c", 1)]), &[]).cluster(alike, &[inner]);
        let _outside = Proxy::start(plan).await;
        let mut caller = Caller::connect(outer).await;
        let stream = TcpStream::connect(outer).await.unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(driver);
        for _ in 0..3 {
            assert_eq!(caller.get("/").await.body, "reviews");
            assert_eq!(inside.line().await.protocol, Some("HTTP/1.1"));
            let request = Request::builder().uri("http://reviews:9080/x").body(());
            let mut sender = sender.clone().ready().await.unwrap();
            let (response, _) = sender.send_request(request.unwrap(), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 200);
            assert_eq!(inside.line().await.protocol, Some("HTTP/2"));
        }
    });
}

#[test]
fn connection_of_the_greatest_age_takes_no_other_request() {
    on_worker_thread(async {
        const AGE: Duration = Duration::from_millis(300);
        for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::Http2] {
            let (web, _) = named("reviews").await;
            let (outer, inner) = (free_address(), free_address());
            let inside = Proxy::start(simple(inner, forward_to(&[("c", 1)]), &[web])).await;
            let mut ageing = cluster("c");
            ageing.protocol = protocol;
            ageing.max_connection_duration = Some(AGE);
            let plan = simple(outer, forward_to(&[("c", 1)]), &[]).cluster(ageing, &[inner]);
            let outside = Proxy::start(plan).await;
            let mut caller = Caller::connect(outer).await;
            for round in 1..=3 {
                assert_eq!(caller.get("/").await.status, 200);
                assert_eq!(caller.get("/").await.status, 200);
                let clusters = outside.clusters().await;
                // A slow machine may need more.
                let opened = clusters
                    .lines()
                    .find_map(|it| it.strip_prefix("c::cx_total::"));
                let opened: u32 = opened.unwrap().parse().unwrap();
                assert!(opened >= round, "{opened} after round {round}");
                tokio::time::sleep(AGE).await;
            }
            drop(inside);
        }
    });
}

#[test]
fn request_http2_goes_both_ways() {
    on_worker_thread(async {
        let (at, seen) = server(|request, _| async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            answer(200, host)
        })
        .await;
        let (outer, inner) = (free_address(), free_address());
        let mut shared = cluster("c");
        shared.protocol = UpstreamProtocol::Http2;
        let mut inbound = http_chain(Direction::Inbound, "in");
        inbound.server_name = "inner".into();
        let mut plan = simple(outer, forward_to(&[("c", 1)]), &[])
            .cluster(shared, &[inner])
            .listener(listener(inner, ChainAction::Http(inbound)))
            .cluster(cluster("app"), &[at]);
        let mut table = plan.0.routes["t"].as_ref().clone();
        table.name = "in".into();
        table.virtual_hosts[0].routes = vec![route(forward_to(&[("app", 1)]))];
        plan.0
            .routes
            .insert("in".into(), std::sync::Arc::new(table));
        let mut proxy = Proxy::start(plan).await;
        let stream = TcpStream::connect(outer).await.unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(driver);
        let calls = (0..10).map(|_| {
            let sender = sender.clone();
            async move {
                let request = Request::builder().uri("http://reviews:9080/x").body(());
                let mut sender = sender.ready().await.unwrap();
                let (response, _) = sender.send_request(request.unwrap(), true).unwrap();
                response.await.unwrap().status().as_u16()
            }
        });
        for call in calls.map(tokio::task::spawn_local).collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), 200);
        }
        assert_eq!(seen.requests.get(), 10);
        let line = proxy.next_line().await;
        assert!(text(&line).contains("\"reviews:9080\""));
        assert_eq!(line.entry.protocol, Some("HTTP/2"));
        // Ten streams shared one connection between the two proxies.
        assert!(proxy.clusters().await.contains("c::cx_total::1\n"));
    });
}
