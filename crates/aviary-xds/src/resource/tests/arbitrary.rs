//! Any value of the model that a translator could make.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::access_log::{AccessLog, Comparison, LogFilter, LogFormat, LogSink};
use aviary_mesh::cluster::{
    Balance, Dns, DnsName, Enforcing, FailurePercentage, Family, Limits, Outlier, ServiceLabels,
    SlowStart, SuccessRate, UpstreamProtocol,
};
use aviary_mesh::cors::Cors;
use aviary_mesh::endpoint::{Health, Locality, WorkloadLabels};
use aviary_mesh::listener::{
    ChainMatch, ClientCert, Codec, Direction, EscapedSlashes, ForwardClientCert, Http2, HttpChain,
    HttpFilter, PathForm, PingKeepalive, RequestIds, RouteSource, ServerHeader, StripPort,
    TcpBranch, TcpChain, TcpKeepalive, TraceSink, Tracing,
};
use aviary_mesh::matcher::{FullRegex, HeaderMatch, QueryMatch, StringMatch, Text};
use aviary_mesh::rbac::{Action, Permission, Policy, Principal, RbacFilter, Rules, Template};
use aviary_mesh::route::{
    Affinity, DirectResponse, Fault, FaultAbort, FaultDelay, FilterSettings, Forward, HashCookie,
    HashOf, HashPolicy, HeaderEdits, Mirror, PathMatch, PathRewrite, Redirect, Retry, RouteAction,
    RouteMatch, WeightedCluster,
};
use aviary_mesh::{
    ChainAction, Cluster, Discovery, Endpoint, EndpointSet, FilterChain, Listener, Route,
    RouteTable, VirtualHost,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-z|:.%/-]{0,12}", "[a-z0-9]{1,6}"]
}

fn word() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-z|0-9.]{1,12}", Just("reviews".to_owned())]
}

fn duration() -> impl Strategy<Value = Duration> + Clone {
    (0_u64..4_000, 0_u32..1_000).prop_map(|(secs, millis)| {
        Duration::from_secs(secs) + Duration::from_millis(u64::from(millis) + 1)
    })
}

fn percent() -> impl Strategy<Value = f64> + Clone {
    (0_u32..=1_000_000).prop_map(|steps| f64::from(steps) / 10_000.0)
}

fn address() -> impl Strategy<Value = SocketAddr> + Clone {
    (any::<[u8; 4]>(), 1_u16..)
        .prop_map(|(ip, port)| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
}

fn regex() -> impl Strategy<Value = FullRegex> + Clone {
    prop_oneof![Just(".*"), Just("/a(b|c)+"), Just("^v[0-9]$")]
        .prop_map(|source| FullRegex::new(source).expect("a regular expression"))
}

fn string_match() -> BoxedStrategy<StringMatch> {
    prop_oneof![
        text().prop_map(StringMatch::Exact),
        word().prop_map(StringMatch::Prefix),
        word().prop_map(StringMatch::Suffix),
        regex().prop_map(StringMatch::Regex),
    ]
    .boxed()
}

fn balance() -> BoxedStrategy<Balance> {
    prop_oneof![
        Just(Balance::LeastRequest),
        Just(Balance::RoundRobin),
        Just(Balance::Random),
        (3_u32..9).prop_map(Balance::LeastOf),
        (1_u64..100, 100_u64..9_000, any::<bool>()).prop_map(|(min, max, by_hostname)| {
            Balance::RingHash {
                min,
                max,
                by_hostname,
            }
        }),
        any::<bool>().prop_map(|by_hostname| Balance::Maglev {
            table: 251,
            by_hostname
        }),
    ]
    .boxed()
}

fn limits() -> BoxedStrategy<Limits> {
    let limit = || of(1_u32..1_000);
    let budget = (percent(), 0_u32..9)
        .prop_map(|(percent, at_least)| aviary_mesh::cluster::RetryBudget { percent, at_least });
    (limit(), limit(), limit(), limit(), limit(), of(budget))
        .prop_map(|(a, b, c, d, e, budget)| Limits {
            retry_budget: budget,
            max_connections: a,
            max_pending_requests: b,
            max_requests: c,
            max_retries: d,
            max_requests_per_connection: e,
        })
        .boxed()
}

fn outlier() -> BoxedStrategy<Outlier> {
    let enforced = || of((1_u32..20, 1_u32..=100));
    let rate = (1_u32..9, 1_u32..200, 1_u32..4_000, 1_u32..=100, 0_u32..=100).prop_map(
        |(minimum_hosts, request_volume, deviation_factor, enforcing, enforcing_local_origin)| {
            SuccessRate {
                minimum_hosts,
                request_volume,
                deviation_factor,
                enforcing,
                enforcing_local_origin,
            }
        },
    );
    let failures = (1_u32..=100, 1_u32..9, 1_u32..200, 1_u32..=100, 0_u32..=100).prop_map(
        |(threshold, minimum_hosts, request_volume, enforcing, enforcing_local_origin)| {
            FailurePercentage {
                threshold,
                minimum_hosts,
                request_volume,
                enforcing,
                enforcing_local_origin,
            }
        },
    );
    (
        (
            enforced(),
            enforced(),
            of((1_u32..20, 1_u32..=100)),
            of(rate),
            of(failures),
        ),
        (
            duration(),
            duration(),
            duration(),
            0_u32..=100,
            any::<bool>(),
        ),
    )
        .prop_map(|((a, b, local, success_rate, failure_percentage), rest)| {
            let (interval, base, longest, max, always_eject_one) = rest;
            let share = |it: Option<(u32, u32)>| it.map_or(100, |(_, share)| share);
            Outlier {
                consecutive_5xx: a.map(|(count, _)| count),
                consecutive_gateway_errors: b.map(|(count, _)| count),
                consecutive_local_failures: local.map(|(count, _)| count),
                split_local_origin: local.is_some(),
                success_rate,
                failure_percentage,
                interval,
                base_ejection_time: base,
                max_ejection_time: longest,
                max_ejection_percent: max,
                always_eject_one,
                enforcing: Enforcing {
                    consecutive_5xx: share(a),
                    consecutive_gateway_errors: share(b),
                    consecutive_local_failures: share(local),
                },
            }
        })
        .boxed()
}

fn service() -> impl Strategy<Value = ServiceLabels> {
    (text(), text(), text()).prop_map(|(host, name, namespace)| ServiceLabels {
        host,
        name,
        namespace,
    })
}

fn http2() -> BoxedStrategy<Http2> {
    let keepalive = (duration(), duration())
        .prop_map(|(interval, timeout)| PingKeepalive { interval, timeout });
    (
        of(1_u32..200),
        of(65_535_u32..100_000),
        of(65_535_u32..100_000),
        of(keepalive),
    )
        .prop_map(
            |(max_concurrent_streams, stream, connection, keepalive)| Http2 {
                max_concurrent_streams,
                stream_window_bytes: stream,
                connection_window_bytes: connection,
                keepalive,
            },
        )
        .boxed()
}

fn keepalive() -> impl Strategy<Value = TcpKeepalive> {
    let seconds = || of(1_u32..900);
    (seconds(), seconds(), seconds()).prop_map(|(probes, time_seconds, interval_seconds)| {
        TcpKeepalive {
            probes,
            time_seconds,
            interval_seconds,
        }
    })
}

fn discovery() -> BoxedStrategy<Discovery> {
    let name = ("[a-z.]{1,9}", 1_u16.., 1_u32..9).prop_map(|(host, port, weight)| DnsName {
        host,
        port,
        weight,
        priority: 0,
        locality: None,
    });
    let family = prop_oneof![
        Just(Family::V6First),
        Just(Family::V4First),
        Just(Family::V4),
        Just(Family::V6),
        Just(Family::All)
    ];
    let dns = (vec(name, 1..3), duration(), any::<bool>(), family);
    let dns = dns.prop_map(|(names, refresh, respect_ttl, family)| Dns {
        all_addresses: names.len() > 1,
        names,
        refresh,
        respect_ttl,
        family,
    });
    prop_oneof![
        Just(Discovery::Eds),
        Just(Discovery::OriginalDst),
        vec(endpoint(), 0..3).prop_map(Discovery::Static),
        dns.prop_map(Discovery::Dns),
    ]
    .boxed()
}

fn slow_start() -> impl Strategy<Value = SlowStart> {
    (duration(), 1_u32..40, percent()).prop_map(|(window, aggression, min_weight_percent)| {
        SlowStart {
            window,
            aggression: f64::from(aggression) / 10.0,
            min_weight_percent,
        }
    })
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let protocol = prop_oneof![
        Just(UpstreamProtocol::Http1),
        Just(UpstreamProtocol::Http2),
        Just(UpstreamProtocol::Alpn),
        Just(UpstreamProtocol::Downstream),
        Just(UpstreamProtocol::Tcp),
    ];
    let source = of(address().prop_map(|address| address.ip()));
    (
        (word(), discovery(), duration(), balance(), limits()),
        (
            of(outlier()),
            protocol,
            source,
            of(duration()),
            of(service()),
        ),
        (
            0_u32..=100,
            any::<bool>(),
            of(slow_start()),
            of(keepalive()),
            of(duration()),
            http2(),
        ),
    )
        .prop_map(
            |((name, discovery, connect_timeout, balance, limits), rest, more)| {
                let (outlier, protocol, source_address, idle_timeout, service) = rest;
                let (panic, locality_weighted, slow_start, keepalive, age, http2) = more;
                let slow = discovery != Discovery::OriginalDst
                    && !balance.is_hashing()
                    && balance != Balance::Random;
                let framed = !matches!(protocol, UpstreamProtocol::Http1 | UpstreamProtocol::Tcp);
                Cluster {
                    tls: aviary_mesh::tls::ClusterTls::default(),
                    name,
                    discovery,
                    connect_timeout,
                    balance,
                    limits,
                    outlier,
                    protocol,
                    source_address,
                    idle_timeout,
                    service,
                    panic_threshold_percent: panic,
                    locality_weighted,
                    slow_start: slow_start.filter(|_| slow),
                    keepalive,
                    max_connection_duration: age,
                    http2: if framed { http2 } else { Http2::default() },
                }
            },
        )
}

fn endpoint() -> BoxedStrategy<Endpoint> {
    let health = prop_oneof![
        Just(Health::Healthy),
        Just(Health::Draining),
        Just(Health::Unhealthy)
    ];
    let labels = (text(), text(), text(), text()).prop_map(|(workload, namespace, app, pod)| {
        Arc::new(WorkloadLabels {
            workload,
            namespace,
            app,
            pod,
            ..WorkloadLabels::default()
        })
    });
    let locality = ("[a-z]{1,3}", "[a-z]{0,2}", 0_u32..3).prop_map(|(region, zone, weight)| {
        Arc::new(Locality {
            region,
            zone,
            sub_zone: String::new(),
            weight,
        })
    });
    let name = of("[a-z.]{1,6}").prop_map(|name| name.map(Into::into));
    (
        (address(), 1_u32..200, health, any::<bool>(), labels),
        (0_u32..3, of(locality), name),
    )
        .prop_map(
            |((address, weight, health, mesh_tls, workload), (priority, locality, hostname))| {
                Endpoint {
                    address,
                    weight,
                    health,
                    mesh_tls,
                    workload,
                    priority,
                    locality,
                    hostname,
                }
            },
        )
        .boxed()
}

pub(crate) fn endpoints() -> impl Strategy<Value = EndpointSet> {
    let percent = prop_oneof![Just(0_u32), Just(100_u32)];
    (word(), vec(endpoint(), 0..4), percent).prop_map(
        |(cluster, endpoints, overprovisioning_percent)| EndpointSet {
            cluster,
            endpoints,
            overprovisioning_percent,
        },
    )
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)]
}

fn chain_match() -> BoxedStrategy<ChainMatch> {
    let range = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(ip, length)| {
        ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::from(ip)), length).expect("a length up to 32")
    });
    (
        of(1_u16..),
        vec(range, 0..2),
        vec(word(), 0..2),
        of(word()),
        vec(word(), 0..2),
        vec(any::<u16>(), 0..2),
    )
        .prop_map(
            |(port, ranges, names, transport, protocols, source_ports)| ChainMatch {
                source_ranges: ranges.clone(),
                source_ports,
                destination_port: port,
                destination_ranges: ranges,
                server_names: names,
                transport_protocol: transport,
                application_protocols: protocols,
            },
        )
        .boxed()
}

fn log() -> BoxedStrategy<AccessLog> {
    let sink = prop_oneof![
        Just(LogSink::Stdout),
        Just(LogSink::Stderr),
        Just(LogSink::File("/tmp/log".to_owned()))
    ];
    let format = prop_oneof![
        Just(LogFormat::Default),
        Just(LogFormat::Text("%PROTOCOL%\n".to_owned())),
        Just(LogFormat::Json(
            r#"{"a":"%PROTOCOL%","b":{"c":true}}"#.to_owned()
        )),
    ];
    let comparison = prop_oneof![
        any::<u32>().prop_map(Comparison::Equal),
        any::<u32>().prop_map(Comparison::NotEqual),
        any::<u32>().prop_map(Comparison::AtLeast),
        any::<u32>().prop_map(Comparison::AtMost),
    ];
    let leaf = prop_oneof![
        comparison.clone().prop_map(LogFilter::Status),
        comparison.prop_map(LogFilter::Duration),
        Just(LogFilter::NotHealthCheck),
        Just(LogFilter::Traceable),
        percent().prop_map(LogFilter::Share),
        header().prop_map(LogFilter::Header),
        Just(LogFilter::Flags(vec!["UF".to_owned()])),
    ];
    let filter = prop_oneof![
        leaf.clone(),
        vec(leaf.clone(), 2..3).prop_map(LogFilter::All),
        vec(leaf, 2..3).prop_map(LogFilter::Any),
    ];
    (sink, format, of(filter))
        .prop_map(|(sink, format, filter)| AccessLog {
            sink,
            format,
            filter,
        })
        .boxed()
}

fn range() -> impl Strategy<Value = ipnet::IpNet> + Clone {
    (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(ip, length)| {
        ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::from(ip)), length).expect("a length up to 32")
    })
}

fn some_text() -> BoxedStrategy<Text> {
    (string_match(), any::<bool>())
        .prop_map(|(is, ignore_case)| Text { is, ignore_case })
        .boxed()
}

fn rbac() -> BoxedStrategy<Arc<RbacFilter>> {
    let permission = prop_oneof![
        Just(Permission::Any),
        header().prop_map(Permission::Header),
        some_text().prop_map(Permission::Path),
        Just(Permission::PathTemplate(
            Template::new("/a/{*}/{**}").expect("a template")
        )),
        range().prop_map(Permission::DestinationIp),
        any::<u16>().prop_map(Permission::DestinationPort),
        (0_u32..9, 9_u32..99).prop_map(|(a, b)| Permission::DestinationPorts(a, b)),
        some_text().prop_map(Permission::ServerName),
    ];
    let permission = prop_oneof![
        permission.clone(),
        vec(permission.clone(), 0..2).prop_map(Permission::All),
        vec(permission.clone(), 0..2).prop_map(Permission::OneOf),
        permission.prop_map(|it| Permission::Not(Box::new(it))),
    ];
    let principal = prop_oneof![
        Just(Principal::Any),
        of(some_text()).prop_map(Principal::Authenticated),
        range().prop_map(Principal::DirectRemoteIp),
        range().prop_map(Principal::RemoteIp),
        header().prop_map(Principal::Header),
        some_text().prop_map(Principal::Path),
    ];
    let principal = prop_oneof![
        principal.clone(),
        vec(principal.clone(), 0..2).prop_map(Principal::All),
        vec(principal.clone(), 0..2).prop_map(Principal::OneOf),
        principal.prop_map(|it| Principal::Not(Box::new(it))),
    ];
    let action = prop_oneof![Just(Action::Allow), Just(Action::Deny), Just(Action::Log)];
    let policy =
        (vec(permission, 0..2), vec(principal, 0..2)).prop_map(|(permissions, principals)| {
            Policy {
                permissions,
                principals,
            }
        });
    let rules = (action, of((word(), policy))).prop_map(|(action, policy)| Rules {
        action,
        policies: policy.into_iter().collect(),
    });
    (of(rules.clone()), of(rules), text(), text())
        .prop_map(|(rules, shadow, shadow_prefix, stat_prefix)| {
            Arc::new(RbacFilter {
                rules,
                shadow,
                shadow_prefix,
                stat_prefix,
            })
        })
        .boxed()
}

fn tracing() -> BoxedStrategy<Tracing> {
    let sink =
        (word(), text(), of(duration())).prop_map(|(cluster, service_name, timeout)| TraceSink {
            cluster,
            service_name,
            timeout,
        });
    (percent(), percent(), percent(), of(sink))
        .prop_map(|(random, client, overall, sink)| Tracing {
            random_percent: random,
            client_percent: client,
            overall_percent: overall,
            sink,
        })
        .boxed()
}

fn http_filter() -> BoxedStrategy<HttpFilter> {
    prop_oneof![
        Just(HttpFilter::Cors),
        of(fault().prop_filter("is something", |it| *it != Fault::default()))
            .prop_map(HttpFilter::Fault),
        rbac().prop_map(HttpFilter::Rbac),
    ]
    .boxed()
}

fn path_form() -> BoxedStrategy<PathForm> {
    let slashes = prop_oneof![
        Just(EscapedSlashes::Keep),
        Just(EscapedSlashes::Reject),
        Just(EscapedSlashes::Redirect),
        Just(EscapedSlashes::Decode)
    ];
    (any::<[bool; 2]>(), slashes)
        .prop_map(|([normalize, merge_slashes], escaped_slashes)| PathForm {
            normalize,
            merge_slashes,
            escaped_slashes,
        })
        .boxed()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn http_chain() -> BoxedStrategy<HttpChain> {
    let routes = prop_oneof![
        word().prop_map(RouteSource::Named),
        table().prop_map(|table| RouteSource::Inline(Arc::new(table))),
    ];
    let codec = prop_oneof![Just(Codec::Auto), Just(Codec::Http1), Just(Codec::Http2)];
    let server = prop_oneof![
        Just(ServerHeader::Overwrite),
        Just(ServerHeader::AppendIfAbsent),
        Just(ServerHeader::PassThrough)
    ];
    let strip = prop_oneof![
        Just(StripPort::Keep),
        Just(StripPort::Matching),
        Just(StripPort::Any)
    ];
    let number = || of(1_u32..999);
    (
        (
            word(),
            direction(),
            routes,
            vec(log(), 0..2),
            word(),
            of(tracing()),
        ),
        (
            codec,
            path_form(),
            any::<[bool; 10]>(),
            server,
            strip,
            http2(),
        ),
        proptest::array::uniform6(of(duration())),
        (
            number(),
            number(),
            number(),
            0_u32..3,
            vec(http_filter(), 0..3),
        ),
    )
        .prop_map(
            |(base, forms, times, (requests, kib, fields, hops, filters))| {
                let (stat_prefix, direction, routes, access_log, server_name, tracing) = base;
                let (codec, path, flags, server_header, strip_port, http2) = forms;
                HttpChain {
                    stat_prefix,
                    direction,
                    routes,
                    use_remote_address: flags[0],
                    access_log,
                    server_name,
                    tracing,
                    codec,
                    path,
                    request_ids: RequestIds {
                        generate: flags[1],
                        keep_external: flags[2],
                        in_response: flags[3],
                    },
                    stream_idle_timeout: times[0],
                    request_timeout: times[1],
                    request_headers_timeout: times[2],
                    idle_timeout: times[3],
                    max_connection_duration: times[4],
                    max_stream_duration: times[5],
                    max_requests_per_connection: requests,
                    max_head_kib: kib.map(|kib| kib % 64 + 1),
                    max_fields: fields,
                    server_header,
                    trusted_hops: hops,
                    keep_forwarded_for: flags[4],
                    strip_port,
                    websocket: flags[5],
                    internal: if flags[7] {
                        vec!["10.0.0.0/8".parse().unwrap()]
                    } else {
                        Vec::new()
                    },
                    via: if flags[8] {
                        "edge".to_owned()
                    } else {
                        String::new()
                    },
                    client_cert: ClientCert {
                        forward: if flags[9] {
                            ForwardClientCert::AppendForward
                        } else {
                            ForwardClientCert::Sanitize
                        },
                        subject: flags[7],
                        uri: flags[8],
                        dns: flags[9],
                    },
                    suppress_envoy_headers: flags[6],
                    http2,
                    filters,
                }
            },
        )
        .boxed()
}

fn tcp_chain() -> BoxedStrategy<TcpChain> {
    let branch = (word(), 1_u32..9).prop_map(|(cluster, weight)| TcpBranch { cluster, weight });
    let clusters = prop_oneof![word().prop_map(TcpBranch::only), vec(branch, 2..4)];
    (
        (word(), direction(), clusters, vec(log(), 0..2)),
        (of(duration()), 0_u32..3, of(duration()), any::<bool>()),
    )
        .prop_map(|((stat_prefix, direction, clusters, access_log), rest)| {
            let (idle_timeout, connect_attempts, max_duration, hash_source_ip) = rest;
            TcpChain {
                stat_prefix,
                direction,
                clusters,
                access_log,
                idle_timeout,
                connect_attempts,
                max_duration,
                hash_source_ip,
            }
        })
        .boxed()
}

fn chain() -> BoxedStrategy<FilterChain> {
    let action = prop_oneof![
        http_chain().prop_map(ChainAction::Http),
        tcp_chain().prop_map(ChainAction::Tcp)
    ];
    (text(), chain_match(), vec(rbac(), 0..2), action)
        .prop_map(|(name, matches, rbac, action)| FilterChain {
            tls: None,
            name,
            matches,
            rbac,
            action,
        })
        .boxed()
}

pub(crate) fn listener() -> impl Strategy<Value = Listener> {
    let flags = any::<[bool; 4]>();
    (
        word(),
        address(),
        flags,
        direction(),
        duration(),
        vec(chain(), 0..3),
        (of(chain()), of(keepalive())),
    )
        .prop_map(
            |(
                name,
                address,
                [bind, hand_over, inspect, tls_inspector],
                direction,
                inspect_timeout,
                chains,
                (default, keepalive),
            )| {
                Listener {
                    name,
                    address,
                    bind_to_port: bind,
                    use_original_dst: hand_over,
                    direction,
                    http_inspector: inspect,
                    tls_inspector,
                    inspect_timeout,
                    chains,
                    default_chain: default,
                    keepalive,
                }
            },
        )
}

fn edits() -> BoxedStrategy<HeaderEdits> {
    let pairs = || vec((word(), text()), 0..2);
    (pairs(), pairs(), vec(word(), 0..2), pairs(), pairs())
        .prop_map(|(set, add, remove, add_if_absent, replace)| HeaderEdits {
            set,
            add,
            remove,
            add_if_absent,
            replace,
        })
        .boxed()
}

fn header() -> BoxedStrategy<HeaderMatch> {
    (
        word(),
        of((string_match(), any::<bool>())),
        any::<[bool; 2]>(),
    )
        .prop_map(|(name, value, [invert, missing_as_empty])| HeaderMatch {
            name,
            ignore_case: value.as_ref().is_some_and(|(_, fold)| *fold),
            value: value.map(|(value, _)| value),
            invert,
            missing_as_empty,
        })
        .boxed()
}

fn route_match() -> BoxedStrategy<RouteMatch> {
    let path = prop_oneof![
        text().prop_map(PathMatch::Prefix),
        text().prop_map(PathMatch::SegmentPrefix),
        text().prop_map(PathMatch::Exact),
        regex().prop_map(PathMatch::Regex),
    ];
    let query =
        (word(), of((string_match(), any::<bool>()))).prop_map(|(name, value)| QueryMatch {
            name,
            ignore_case: value.as_ref().is_some_and(|(_, fold)| *fold),
            value: value.map(|(value, _)| value),
        });
    (
        path,
        any::<[bool; 2]>(),
        vec(header(), 0..3),
        vec(query, 0..2),
        of(percent()),
    )
        .prop_map(
            |(path, [ignore_case, grpc], headers, query, share_percent)| RouteMatch {
                path,
                ignore_case,
                headers,
                query,
                grpc,
                share_percent,
            },
        )
        .boxed()
}

fn retry() -> BoxedStrategy<Retry> {
    let condition = proptest::sample::select(aviary_mesh::retry::CONDITIONS.to_vec());
    let on = vec(condition.prop_map(str::to_owned), 0..3);
    (
        (0_u32..5, on, vec(200_u16..600, 0..3)),
        (of(duration()), 0_u32..6, duration(), any::<bool>()),
        (
            of(duration()),
            of(duration()),
            vec(header(), 0..2),
            vec(header(), 0..2),
        ),
    )
        .prop_map(
            |((attempts, on, status_codes), (per_try, avoid, base, guarded), more)| {
                let (longest, idle, response_headers, request_headers) = more;
                Retry {
                    attempts,
                    on,
                    status_codes,
                    per_try_timeout: per_try,
                    avoid_previous: avoid,
                    base_interval: base,
                    guarded,
                    max_interval: longest
                        .map(|more| base + more)
                        .filter(|it| *it != base * 10)
                        .unwrap_or_default(),
                    per_try_idle_timeout: idle,
                    response_headers,
                    request_headers,
                }
            },
        )
        .boxed()
}

fn clusters() -> BoxedStrategy<Vec<WeightedCluster>> {
    let branch = (word(), 1_u32..100, edits(), edits(), of(word())).prop_map(
        |(name, weight, request_headers, response_headers, host_rewrite)| WeightedCluster {
            name,
            weight,
            request_headers,
            response_headers,
            host_rewrite,
        },
    );
    let single = word().prop_map(|name| {
        vec![WeightedCluster {
            name,
            weight: 100,
            ..WeightedCluster::default()
        }]
    });
    prop_oneof![single, vec(branch, 2..4)].boxed()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn action() -> BoxedStrategy<RouteAction> {
    let mirror = (word(), percent(), any::<bool>(), vec(word(), 0..2)).prop_map(
        |(cluster, percent, shadow_host, only_from)| Mirror {
            cluster,
            percent,
            shadow_host,
            only_from,
        },
    );
    let affinity = (any::<[u32; 2]>(), word(), text()).prop_map(|([first, count], name, salt)| {
        let of = HashOf::Header(name);
        Affinity {
            first,
            count,
            of,
            salt,
        }
    });
    let hash = prop_oneof![
        word().prop_map(HashOf::Header),
        (word(), of(duration()), text()).prop_map(|(name, ttl, path)| {
            HashOf::Cookie(HashCookie {
                attributes: vec![("HttpOnly".to_owned(), String::new())],
                name,
                ttl,
                path,
            })
        }),
        Just(HashOf::SourceIp),
        word().prop_map(HashOf::Query),
    ];
    let hash = (hash, any::<bool>()).prop_map(|(of, terminal)| HashPolicy { of, terminal });
    let host = prop_oneof![
        Just((None, None, false)),
        word().prop_map(|host| (Some(host), None, false)),
        word().prop_map(|name| (None, Some(name), false)),
        Just((None, None, true)),
    ];
    let upgrade = prop_oneof![
        Just((false, false)),
        Just((true, false)),
        Just((false, true))
    ];
    let no_cluster = prop_oneof![Just(0_u16), Just(404), Just(500)];
    let rewrite = prop_oneof![
        word().prop_map(PathRewrite::Prefix),
        Just(PathRewrite::Regex {
            pattern: "/a/(.*)".to_owned(),
            substitution: r"/b/\1".to_owned()
        }),
    ];
    let forward = (
        (clusters(), of(duration()), of(retry()), vec(mirror, 0..2)),
        (of(rewrite), host, upgrade),
        (
            vec(hash, 0..3),
            any::<[bool; 2]>(),
            no_cluster,
            vec(affinity, 0..2),
        ),
        (of(duration()), of(duration()), of(duration())),
    )
        .prop_map(
            |((clusters, timeout, retry, mirrors), (rewrite, host, upgrade), more, times)| {
                let (hash, [hash_split, append_forwarded_host], no_cluster_status, affinity) = more;
                RouteAction::Forward(Forward {
                    clusters,
                    timeout,
                    retry,
                    mirrors,
                    rewrite,
                    host_rewrite: host.0,
                    host_rewrite_header: host.1,
                    auto_host_rewrite: host.2,
                    websocket: upgrade.0,
                    no_websocket: upgrade.1,
                    append_forwarded_host,
                    hash,
                    hash_split,
                    affinity,
                    idle_timeout: times.0,
                    max_stream_duration: times.1,
                    grpc_timeout_max: times.2,
                    no_cluster_status,
                })
            },
        );
    let path = prop_oneof![
        Just((None, None, None)),
        word().prop_map(|path| (Some(path), None, None)),
        text().prop_map(|prefix| (None, Some(prefix), None)),
        Just((None, None, Some(("/a".to_owned(), "/b".to_owned())))),
    ];
    let status = prop_oneof![Just(301_u16), Just(302), Just(303), Just(307), Just(308)];
    let redirect = (
        of(word()),
        of(word()),
        of(1_u16..),
        path,
        status,
        any::<bool>(),
    )
        .prop_map(
            |(scheme, host, port, (path, prefix, regex), status, strip_query)| {
                RouteAction::Redirect(Redirect {
                    scheme,
                    host,
                    port,
                    path,
                    prefix,
                    regex,
                    strip_query,
                    status,
                })
            },
        );
    let direct = (200_u16..600, text())
        .prop_map(|(status, body)| RouteAction::Direct(DirectResponse { status, body }));
    prop_oneof![forward, redirect, direct].boxed()
}

fn fault() -> BoxedStrategy<Fault> {
    let delay =
        (duration(), percent()).prop_map(|(duration, percent)| FaultDelay { duration, percent });
    let abort = prop_oneof![
        (200_u16..600).prop_map(|status| (status, None)),
        (0_u32..17).prop_map(|status| (200, Some(status)))
    ];
    let abort = (abort, percent()).prop_map(|((status, grpc_status), percent)| FaultAbort {
        status,
        grpc_status,
        percent,
    });
    (of(delay), of(abort), vec(header(), 0..2), text())
        .prop_map(|(delay, abort, headers, upstream_cluster)| Fault {
            delay,
            abort,
            headers,
            upstream_cluster,
        })
        .boxed()
}

fn cors() -> BoxedStrategy<Arc<Cors>> {
    (
        vec(some_text(), 0..2),
        proptest::array::uniform4(text()),
        any::<[bool; 3]>(),
        percent(),
    )
        .prop_map(|(allow_origins, texts, flags, enabled_percent)| {
            let [allow_methods, allow_headers, expose_headers, max_age] = texts;
            Arc::new(Cors {
                allow_origins,
                allow_methods,
                allow_headers,
                expose_headers,
                max_age,
                allow_credentials: flags[0],
                allow_private_network: flags[1],
                enabled_percent,
                forward_unmatched_preflights: flags[2],
            })
        })
        .boxed()
}

fn settings() -> BoxedStrategy<FilterSettings> {
    prop_oneof![
        Just(FilterSettings::default()),
        cors().prop_map(|cors| FilterSettings {
            cors: Some(cors),
            rbac: None
        }),
        rbac().prop_map(|rbac| FilterSettings {
            cors: None,
            rbac: Some(rbac)
        }),
    ]
    .boxed()
}

fn route() -> BoxedStrategy<Route> {
    (
        (text(), route_match(), action(), edits(), edits()),
        (of(fault()), text(), text(), settings()),
    )
        .prop_map(
            |((name, matches, action, request, response), (fault, origin, operation, filters))| {
                Route {
                    name,
                    matches,
                    action,
                    request_headers: request,
                    response_headers: response,
                    fault: fault.filter(|_| filters == FilterSettings::default()),
                    origin,
                    operation,
                    filters,
                }
            },
        )
        .boxed()
}

pub(crate) fn table() -> impl Strategy<Value = RouteTable> {
    let host = (
        (
            word(),
            vec(word(), 1..3),
            vec(route(), 0..3),
            any::<[bool; 3]>(),
        ),
        (edits(), edits(), of(retry()), settings()),
    )
        .prop_map(
            |((name, domains, routes, flags), (request, response, retry, filters))| VirtualHost {
                name,
                domains,
                routes,
                include_attempt_count: flags[0],
                attempt_count_in_response: flags[1],
                require_tls: flags[2],
                request_headers: request,
                response_headers: response,
                retry,
                filters,
            },
        );
    (
        word(),
        vec(host, 0..3),
        any::<[bool; 2]>(),
        edits(),
        edits(),
    )
        .prop_map(
            |(name, virtual_hosts, flags, request, response)| RouteTable {
                name,
                virtual_hosts,
                ignore_port_in_host: flags[0],
                request_headers: request,
                response_headers: response,
                most_specific_edits_win: flags[1],
            },
        )
}
