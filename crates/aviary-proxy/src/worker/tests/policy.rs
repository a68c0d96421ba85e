use std::time::{Duration, Instant};

use aviary_mesh::cluster::Outlier;
use aviary_mesh::route::{Fault, FaultAbort, FaultDelay, Retry};

use super::fixture::*;

fn retry(on: &[&str]) -> Retry {
    Retry {
        attempts: 2,
        on: on.iter().map(|condition| (*condition).to_owned()).collect(),
        status_codes: Vec::new(),
        per_try_timeout: None,
        avoid_previous: 3,
        base_interval: Duration::from_millis(1),
        guarded: false,
        ..Retry::default()
    }
}

#[test]
fn fault_abort_answers_instead_of_the_service() {
    on_worker_thread(async {
        let (at, seen) = named("v1").await;
        let address = free_address();
        let mut route = route(forward_to(&[("c", 1)]));
        route.fault = Some(Fault {
            delay: Some(FaultDelay {
                duration: Duration::from_millis(30),
                percent: 100.0,
            }),
            abort: Some(FaultAbort {
                status: 418,
                percent: 100.0,
                ..FaultAbort::default()
            }),
            ..Fault::default()
        });
        let plan = simple(address, forward_to(&[]), &[at]).routes("*", vec![route]);
        let mut proxy = Proxy::start(plan).await;
        let begin = Instant::now();
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (418, "fault filter abort"));
        assert!(begin.elapsed() >= Duration::from_millis(30));
        let line = proxy.line().await;
        assert_eq!(
            (line.flags.text().as_ref(), line.details.as_ref()),
            ("DI,FI", "fault_filter_abort")
        );
        assert_eq!(seen.requests.get(), 0);
    });
}

#[test]
fn timeout_of_the_route_is_504_ut() {
    on_worker_thread(async {
        let (at, _) = server(|_, _| std::future::pending()).await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.timeout = Some(Duration::from_millis(30));
        let mut proxy = Proxy::start(simple(address, forward, &[at])).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!(
            (got.status, got.body.as_str()),
            (504, "upstream request timeout")
        );
        assert_eq!(proxy.line().await.flags.text(), "UT");
    });
}

#[test]
fn timeout_of_the_route_does_not_count_an_injected_delay() {
    on_worker_thread(async {
        let (at, _) = named("v1").await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.timeout = Some(Duration::from_secs(1));
        let mut route = route(forward);
        route.fault = Some(Fault {
            delay: Some(FaultDelay {
                duration: Duration::from_millis(1500),
                percent: 100.0,
            }),
            ..Fault::default()
        });
        let plan = simple(address, forward_to(&[]), &[at]).routes("*", vec![route]);
        let _proxy = Proxy::start(plan).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (200, "v1"));
    });
}

#[test]
fn retry_on_503_gives_the_second_answer() {
    on_worker_thread(async {
        let (at, seen) = server(|request, number| async move {
            let tries = request.headers()["x-envoy-attempt-count"]
                .to_str()
                .unwrap()
                .to_owned();
            if number == 1 {
                answer(503, "no")
            } else {
                answer(200, tries)
            }
        })
        .await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.retry = Some(retry(&["5xx"]));
        let _proxy = Proxy::start(simple(address, forward, &[at])).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (200, "2"));
        assert_eq!(seen.requests.get(), 2);
    });
}

#[test]
fn retry_without_success_ends_with_urx() {
    on_worker_thread(async {
        let (at, seen) = server(|_, _| async { answer(503, "no") }).await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.retry = Some(retry(&["5xx"]));
        let mut proxy = Proxy::start(simple(address, forward, &[at])).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (503, "no"));
        assert_eq!(seen.requests.get(), 3);
        assert_eq!(proxy.line().await.flags.text(), "URX");
    });
}

#[test]
fn retry_on_connect_failure_goes_to_another_endpoint() {
    on_worker_thread(async {
        let (at, seen) = named("v1").await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.retry = Some(retry(&["connect-failure"]));
        let dead = free_address();
        let _proxy = Proxy::start(simple(address, forward, &[dead, at])).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..10 {
            assert_eq!(caller.get("/").await.status, 200);
        }
        assert_eq!(seen.requests.get(), 10);
    });
}

#[test]
fn connect_failure_without_retry_is_503_uf() {
    on_worker_thread(async {
        let address = free_address();
        let dead = free_address();
        let plan = simple(address, forward_to(&[("c", 1)]), &[dead]);
        let mut proxy = Proxy::start(plan).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!(got.status, 503);
        assert!(
            got.body
                .ends_with("reset reason: remote connection failure"),
            "{}",
            got.body
        );
        assert_eq!(proxy.line().await.flags.text(), "UF");
    });
}

#[test]
fn cluster_without_endpoints_is_503_uh() {
    on_worker_thread(async {
        let address = free_address();
        let mut proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[])).await;
        let got = Caller::connect(address).await.get("/").await;
        assert_eq!(
            (got.status, got.body.as_str()),
            (503, "no healthy upstream")
        );
        assert_eq!(proxy.line().await.flags.text(), "UH");
    });
}

#[test]
fn overflow_third_request_is_503_uo() {
    on_worker_thread(async {
        let gate = std::rc::Rc::new(tokio::sync::Semaphore::new(0));
        let pass = std::rc::Rc::clone(&gate);
        let (at, seen) = server(move |_, _| {
            let pass = std::rc::Rc::clone(&pass);
            async move {
                pass.acquire().await.unwrap().forget();
                answer(200, "")
            }
        })
        .await;
        let address = free_address();
        let mut tight = cluster("c");
        tight.limits.max_connections = Some(1);
        tight.limits.max_pending_requests = Some(1);
        let plan = simple(address, forward_to(&[("c", 1)]), &[]).cluster(tight, &[at]);
        let proxy = Proxy::start(plan).await;
        let call = || async move { Caller::connect(address).await.get("/").await };
        let first = tokio::task::spawn_local(call());
        while seen.requests.get() < 1 {
            tokio::task::yield_now().await;
        }
        let second = tokio::task::spawn_local(call());
        let pending = || async { proxy.clusters().await.contains("c::rq_pending_active::1") };
        while !pending().await {
            tokio::task::yield_now().await;
        }
        let third = call().await;
        assert_eq!(third.status, 503);
        assert_eq!(third.headers["x-envoy-overloaded"], "true");
        assert_eq!(
            third.body,
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        );
        gate.add_permits(2);
        assert_eq!(
            (first.await.unwrap().status, second.await.unwrap().status),
            (200, 200)
        );
        assert_eq!(seen.connections.get(), 1);
    });
}

#[test]
fn outlier_failing_endpoint_is_left_out() {
    on_worker_thread(async {
        let (bad, failures) = server(|_, _| async { answer(500, "") }).await;
        let (good, _) = named("v1").await;
        let address = free_address();
        let mut watched = cluster("c");
        watched.outlier = Some(Outlier {
            consecutive_5xx: Some(2),
            consecutive_gateway_errors: None,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 100,
            ..Outlier::default()
        });
        let plan = simple(address, forward_to(&[("c", 1)]), &[]).cluster(watched, &[bad, good]);
        let _proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..20 {
            caller.get("/").await;
        }
        assert_eq!(failures.requests.get(), 2);
    });
}

#[test]
fn requests_per_connection_over_the_limit_open_a_new_one() {
    on_worker_thread(async {
        let (at, seen) = named("v1").await;
        let address = free_address();
        let mut short = cluster("c");
        short.limits.max_requests_per_connection = Some(2);
        let plan = simple(address, forward_to(&[("c", 1)]), &[]).cluster(short, &[at]);
        let _proxy = Proxy::start(plan).await;
        let mut caller = Caller::connect(address).await;
        for _ in 0..6 {
            assert_eq!(caller.get("/").await.status, 200);
        }
        assert_eq!(seen.connections.get(), 3);
    });
}

#[test]
fn change_under_load_loses_nothing() {
    on_worker_thread(async {
        let (one, _) = named("v1").await;
        let (two, _) = named("v2").await;
        let address = free_address();
        let plan = |name: &str, at| {
            simple(address, forward_to(&[(name, 1)]), &[]).cluster(cluster(name), &[at])
        };
        let proxy = Proxy::start(plan("x", one)).await;
        let load: Vec<_> = (0..8)
            .map(|_| {
                tokio::task::spawn_local(async move {
                    let mut caller = Caller::connect(address).await;
                    for _ in 0..100 {
                        assert_eq!(caller.get("/").await.status, 200);
                    }
                })
            })
            .collect();
        for round in 0..50 {
            let next = if round % 2 == 0 {
                plan("y", two)
            } else {
                plan("x", one)
            };
            proxy.apply(next).await;
        }
        for task in load {
            task.await.unwrap();
        }
    });
}

#[test]
fn drain_answers_what_is_asked_and_ends() {
    on_worker_thread(async {
        let gate = std::rc::Rc::new(tokio::sync::Semaphore::new(0));
        let pass = std::rc::Rc::clone(&gate);
        let (at, seen) = server(move |_, _| {
            let pass = std::rc::Rc::clone(&pass);
            async move {
                pass.acquire().await.unwrap().forget();
                answer(200, "")
            }
        })
        .await;
        let address = free_address();
        let proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[at])).await;
        let call = tokio::task::spawn_local(async move {
            let mut caller = Caller::connect(address).await;
            let got = caller.get("/").await;
            (got, caller.is_open().await)
        });
        while seen.requests.get() < 1 {
            tokio::task::yield_now().await;
        }
        proxy.drain.cancel();
        gate.add_permits(1);
        let (got, open) = call.await.unwrap();
        assert_eq!(
            (got.status, got.headers["connection"].as_bytes()),
            (200, &b"close"[..])
        );
        assert!(!open);
        proxy.ended().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn drain_of_http2_says_goaway_and_answers_the_open_stream() {
    on_worker_thread(async {
        let gate = std::rc::Rc::new(tokio::sync::Semaphore::new(0));
        let pass = std::rc::Rc::clone(&gate);
        let (at, seen) = server(move |_, _| {
            let pass = std::rc::Rc::clone(&pass);
            async move {
                pass.acquire().await.unwrap().forget();
                answer(200, "")
            }
        })
        .await;
        let address = free_address();
        let proxy = Proxy::start(simple(address, forward_to(&[("c", 1)]), &[at])).await;
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, driver) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::task::spawn_local(driver);
        let request = || {
            ::http::Request::builder()
                .uri("http://reviews/x")
                .body(())
                .unwrap()
        };
        let (open, _) = sender.send_request(request(), true).unwrap();
        while seen.requests.get() < 1 {
            tokio::task::yield_now().await;
        }
        proxy.drain.cancel();
        // Streams are refused here, before they are sent, once the word has come.
        while sender.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        assert_eq!(open.await.unwrap().status(), 200);
        driver.await.unwrap().unwrap();
        proxy.ended().await;
    });
}
