//! Any value of the model that a translator could make.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::cluster::{Balance, Limits, Outlier, ServiceLabels, UpstreamProtocol};
use aviary_mesh::endpoint::{Health, WorkloadLabels};
use aviary_mesh::listener::{ChainMatch, Direction, HttpChain, RouteSource, TcpChain};
use aviary_mesh::matcher::{FullRegex, HeaderMatch, QueryMatch, StringMatch};
use aviary_mesh::route::{
    DirectResponse, Fault, FaultAbort, FaultDelay, Forward, HeaderEdits, Mirror, PathMatch,
    PathRewrite, Redirect, Retry, RouteAction, RouteMatch, WeightedCluster,
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

fn string_match() -> impl Strategy<Value = StringMatch> + Clone {
    prop_oneof![
        text().prop_map(StringMatch::Exact),
        word().prop_map(StringMatch::Prefix),
        word().prop_map(StringMatch::Suffix),
        regex().prop_map(StringMatch::Regex),
    ]
}

fn balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::LeastRequest),
        Just(Balance::RoundRobin),
        Just(Balance::Random)
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || of(1_u32..1_000);
    (limit(), limit(), limit(), limit(), limit()).prop_map(|(a, b, c, d, e)| Limits {
        max_connections: a,
        max_pending_requests: b,
        max_requests: c,
        max_retries: d,
        max_requests_per_connection: e,
    })
}

fn outlier() -> impl Strategy<Value = Outlier> {
    (
        of(1_u32..20),
        of(1_u32..20),
        duration(),
        duration(),
        0_u32..=100,
        0_u32..=100,
    )
        .prop_map(|(a, b, interval, base_ejection_time, max, min)| Outlier {
            consecutive_5xx: a,
            consecutive_gateway_errors: b,
            interval,
            base_ejection_time,
            max_ejection_percent: max,
            min_health_percent: min,
        })
}

fn service() -> impl Strategy<Value = ServiceLabels> {
    (text(), text(), text()).prop_map(|(host, name, namespace)| ServiceLabels {
        host,
        name,
        namespace,
    })
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let discovery = prop_oneof![
        Just(Discovery::Eds),
        Just(Discovery::OriginalDst),
        vec(address(), 0..3).prop_map(Discovery::Static),
    ];
    let protocol = prop_oneof![
        Just(UpstreamProtocol::Http1),
        Just(UpstreamProtocol::Http2),
        Just(UpstreamProtocol::Tcp),
    ];
    let source = of(address().prop_map(|address| address.ip()));
    (
        (word(), discovery, duration(), balance(), limits()),
        (
            of(outlier()),
            protocol,
            source,
            of(duration()),
            of(service()),
        ),
    )
        .prop_map(
            |((name, discovery, connect_timeout, balance, limits), rest)| {
                let (outlier, protocol, source_address, idle_timeout, service) = rest;
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
                }
            },
        )
}

pub(crate) fn endpoints() -> impl Strategy<Value = EndpointSet> {
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
    let endpoint = (address(), 1_u32..200, health, any::<bool>(), labels).prop_map(
        |(address, weight, health, mesh_tls, workload)| Endpoint {
            mesh_tls,
            address,
            weight,
            health,
            workload,
        },
    );
    (word(), vec(endpoint, 0..4))
        .prop_map(|(cluster, endpoints)| EndpointSet { cluster, endpoints })
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)]
}

fn chain_match() -> impl Strategy<Value = ChainMatch> {
    let range = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(ip, length)| {
        ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::from(ip)), length).expect("a length up to 32")
    });
    (
        of(1_u16..),
        vec(range, 0..2),
        vec(word(), 0..2),
        of(word()),
        vec(word(), 0..2),
    )
        .prop_map(|(port, ranges, names, transport, protocols)| ChainMatch {
            destination_port: port,
            destination_ranges: ranges,
            server_names: names,
            transport_protocol: transport,
            application_protocols: protocols,
        })
}

fn chain() -> impl Strategy<Value = FilterChain> {
    let routes = prop_oneof![
        word().prop_map(RouteSource::Named),
        table().prop_map(|table| RouteSource::Inline(Arc::new(table))),
    ];
    let http = (
        word(),
        direction(),
        routes,
        any::<[bool; 2]>(),
        text(),
        percent(),
    )
        .prop_map(
            |(stat_prefix, direction, routes, [edge, log], server_name, sampling)| {
                ChainAction::Http(HttpChain {
                    stat_prefix,
                    direction,
                    routes,
                    use_remote_address: edge,
                    access_log: log,
                    server_name,
                    trace_sampling_percent: sampling,
                })
            },
        );
    let tcp = (word(), direction(), word(), any::<bool>(), of(duration())).prop_map(
        |(stat_prefix, direction, cluster, access_log, idle_timeout)| {
            ChainAction::Tcp(TcpChain {
                stat_prefix,
                direction,
                cluster,
                access_log,
                idle_timeout,
            })
        },
    );
    (text(), chain_match(), prop_oneof![http, tcp]).prop_map(|(name, matches, action)| {
        FilterChain {
            tls: None,
            name,
            matches,
            action,
        }
    })
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
        of(chain()),
    )
        .prop_map(
            |(
                name,
                address,
                [bind, hand_over, inspect, tls_inspector],
                direction,
                inspect_timeout,
                chains,
                default,
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
                }
            },
        )
}

fn edits() -> impl Strategy<Value = HeaderEdits> + Clone {
    (
        vec((word(), text()), 0..2),
        vec((word(), text()), 0..2),
        vec(word(), 0..2),
    )
        .prop_map(|(set, add, remove)| HeaderEdits { set, add, remove })
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        text().prop_map(PathMatch::Prefix),
        text().prop_map(PathMatch::SegmentPrefix),
        text().prop_map(PathMatch::Exact),
        regex().prop_map(PathMatch::Regex),
    ];
    let header = (
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
        });
    let query = (word(), of(string_match())).prop_map(|(name, value)| QueryMatch { name, value });
    (path, any::<bool>(), vec(header, 0..3), vec(query, 0..2)).prop_map(
        |(path, ignore_case, headers, query)| RouteMatch {
            path,
            ignore_case,
            headers,
            query,
        },
    )
}

fn retry() -> impl Strategy<Value = Retry> {
    (
        (0_u32..5, vec(word(), 0..3), vec(200_u16..600, 0..3)),
        (of(duration()), 0_u32..6, duration(), any::<bool>()),
    )
        .prop_map(
            |((attempts, on, status_codes), (per_try, avoid, base, guarded))| Retry {
                attempts,
                on,
                status_codes,
                per_try_timeout: per_try,
                avoid_previous: avoid,
                base_interval: base,
                guarded,
            },
        )
}

fn clusters() -> impl Strategy<Value = Vec<WeightedCluster>> {
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
    prop_oneof![single, vec(branch, 2..4)]
}

fn action() -> impl Strategy<Value = RouteAction> {
    let mirror = (word(), percent()).prop_map(|(cluster, percent)| Mirror { cluster, percent });
    let rewrite = prop_oneof![
        word().prop_map(PathRewrite::Prefix),
        Just(PathRewrite::Regex {
            pattern: "/a/(.*)".to_owned(),
            substitution: r"/b/\1".to_owned()
        }),
    ];
    let forward = (
        (clusters(), of(duration()), of(retry()), vec(mirror, 0..2)),
        (of(rewrite), of(word()), any::<bool>()),
    )
        .prop_map(
            |((clusters, timeout, retry, mirrors), (rewrite, host_rewrite, websocket))| {
                RouteAction::Forward(Forward {
                    clusters,
                    timeout,
                    retry,
                    mirrors,
                    rewrite,
                    host_rewrite,
                    websocket,
                })
            },
        );
    let path = prop_oneof![
        Just((None, None)),
        text().prop_map(|path| (Some(path), None)),
        text().prop_map(|prefix| (None, Some(prefix))),
    ];
    let status = prop_oneof![Just(301_u16), Just(302), Just(303), Just(307), Just(308)];
    let redirect = (of(word()), of(word()), of(1_u16..), path, status).prop_map(
        |(scheme, host, port, (path, prefix), status)| {
            RouteAction::Redirect(Redirect {
                scheme,
                host,
                port,
                path,
                prefix,
                status,
            })
        },
    );
    let direct = (200_u16..600, text())
        .prop_map(|(status, body)| RouteAction::Direct(DirectResponse { status, body }));
    prop_oneof![forward, redirect, direct]
}

fn fault() -> impl Strategy<Value = Fault> {
    let delay =
        (duration(), percent()).prop_map(|(duration, percent)| FaultDelay { duration, percent });
    let abort =
        (200_u16..600, percent()).prop_map(|(status, percent)| FaultAbort { status, percent });
    (of(delay), of(abort)).prop_map(|(delay, abort)| Fault { delay, abort })
}

pub(crate) fn table() -> impl Strategy<Value = RouteTable> {
    let route = (
        (text(), route_match(), action(), edits(), edits()),
        (of(fault()), text(), text()),
    )
        .prop_map(
            |((name, matches, action, request, response), (fault, origin, operation))| Route {
                name,
                matches,
                action,
                request_headers: request,
                response_headers: response,
                fault,
                origin,
                operation,
            },
        );
    let host = (word(), vec(word(), 1..3), vec(route, 0..3), any::<bool>()).prop_map(
        |(name, domains, routes, include_attempt_count)| VirtualHost {
            name,
            domains,
            routes,
            include_attempt_count,
        },
    );
    (word(), vec(host, 0..3), any::<bool>()).prop_map(
        |(name, virtual_hosts, ignore_port_in_host)| RouteTable {
            name,
            virtual_hosts,
            ignore_port_in_host,
        },
    )
}
