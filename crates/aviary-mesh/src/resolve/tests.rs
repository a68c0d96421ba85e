use std::borrow::Cow;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::MeshConfig;
use crate::listener::{ChainAction, ChainMatch, Direction, TcpChain};
use crate::matcher::{FullRegex, HeaderMatch, QueryMatch, StringMatch};
use crate::route::{
    Affinity, HashOf, Mirror, PathMatch, PathRewrite, Redirect, RouteAction, RouteMatch, RouteTable,
};

struct Request {
    method: &'static str,
    scheme: &'static str,
    authority: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl Head for Request {
    fn method(&self) -> &str {
        self.method
    }
    fn authority(&self) -> &str {
        self.authority
    }
    fn scheme(&self) -> &str {
        self.scheme
    }
    fn path_and_query(&self) -> &str {
        self.path
    }
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| Cow::Borrowed(*value))
    }
}

fn get(path: &'static str, headers: &[(&'static str, &'static str)]) -> Request {
    Request {
        method: "GET",
        scheme: "http",
        authority: "reviews:9080",
        path,
        headers: headers.to_vec(),
    }
}

fn forward_to(clusters: &[(&str, u32)]) -> Forward {
    let branch = |(name, weight): &(&str, u32)| WeightedCluster {
        name: (*name).to_owned(),
        weight: *weight,
        ..WeightedCluster::default()
    };
    Forward {
        clusters: clusters.iter().map(branch).collect(),
        ..Forward::default()
    }
}

fn route(matches: RouteMatch, action: RouteAction) -> Route {
    Route {
        name: String::new(),
        matches,
        action,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        fault: None,
        origin: String::new(),
        operation: String::new(),
        ..Route::default()
    }
}

fn table(routes: Vec<Route>) -> Table {
    let host = VirtualHost {
        name: "reviews:9080".to_owned(),
        domains: vec!["reviews".to_owned()],
        routes,
        include_attempt_count: false,
        ..VirtualHost::default()
    };
    let table = RouteTable {
        name: "9080".to_owned(),
        virtual_hosts: vec![host],
        ignore_port_in_host: true,
        ..RouteTable::default()
    };
    Table::new(Arc::new(table))
}

/// The cluster that a request goes to, or what else becomes of it.
fn outcome(table: &Table, head: &Request) -> String {
    let mut rng = SmallRng::seed_from_u64(1);
    match request(table, head, &mut rng).outcome {
        Outcome::Forward(target) => {
            format!("{} {}", target.branch.name, target.path.unwrap_or_default())
                .trim()
                .to_owned()
        }
        Outcome::Redirect { status, location } => format!("{status} {location}"),
        Outcome::Direct { status, body } => format!("{status} {body}"),
        Outcome::NotFound => "not found".to_owned(),
    }
}

/// Whether a request meets a condition.
fn meets(matches: RouteMatch, head: &Request) -> bool {
    let table = table(vec![route(
        matches,
        RouteAction::Forward(forward_to(&[("a", 100)])),
    )]);
    outcome(&table, head) == "a"
}

fn path(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        ..RouteMatch::default()
    }
}

#[test]
fn path_each_kind_takes_what_envoy_takes() {
    let prefix = || PathMatch::Prefix("/foo".to_owned());
    let segment = || PathMatch::SegmentPrefix("/foo".to_owned());
    let exact = || PathMatch::Exact("/foo".to_owned());
    let regex = || PathMatch::Regex(FullRegex::new("/f[o]+").expect("a regex"));
    let cases = [
        (prefix(), "/foobar", true),
        (prefix(), "/fo", false),
        (segment(), "/foobar", false),
        (segment(), "/foo/bar", true),
        (segment(), "/foo?x", true),
        (exact(), "/foo?x=1", true),
        (exact(), "/foo/", false),
        (exact(), "/FOO", false),
        (regex(), "/fooo?x=1", true),
        (regex(), "/fooo/x", false),
    ];
    for (kind, target, expected) in cases {
        assert_eq!(
            meets(path(kind.clone()), &get(target, &[])),
            expected,
            "{kind:?} {target}"
        );
    }
    let folded = RouteMatch {
        ignore_case: true,
        ..path(exact())
    };
    assert!(meets(folded, &get("/FOO", &[])));
}

fn header(name: &str, value: Option<StringMatch>) -> HeaderMatch {
    HeaderMatch {
        name: name.to_owned(),
        value,
        invert: false,
        missing_as_empty: false,
        ignore_case: false,
    }
}

#[test]
fn header_presence_inversion_and_absence_are_envoys() {
    let exact = || Some(StringMatch::Exact("no".to_owned()));
    let plain = || header("x", exact());
    let inverted = || HeaderMatch {
        invert: true,
        ..plain()
    };
    let without = || HeaderMatch {
        missing_as_empty: true,
        ..inverted()
    };
    let absent = || HeaderMatch {
        invert: true,
        ..header("x", None)
    };
    let (none, no, yes): (&[_], &[_], &[_]) = (&[], &[("x", "no")], &[("x", "yes")]);
    let cases = [
        (plain(), none, false),
        (plain(), no, true),
        (plain(), yes, false),
        (inverted(), none, false),
        (inverted(), no, false),
        (inverted(), yes, true),
        (without(), none, true),
        (without(), no, false),
        (header("x", None), none, false),
        (header("x", None), yes, true),
        (absent(), none, true),
        (absent(), yes, false),
        (
            header(":method", Some(StringMatch::Exact("GET".to_owned()))),
            none,
            true,
        ),
        (
            header(
                ":authority",
                Some(StringMatch::Prefix("reviews".to_owned())),
            ),
            none,
            true,
        ),
    ];
    for (condition, headers, expected) in cases {
        let matches = RouteMatch {
            headers: vec![condition.clone()],
            ..RouteMatch::default()
        };
        assert_eq!(
            meets(matches, &get("/", headers)),
            expected,
            "{condition:?} {headers:?}"
        );
    }
}

#[test]
fn query_first_value_counts() {
    let query = |value: Option<&str>| RouteMatch {
        query: vec![QueryMatch {
            name: "a".to_owned(),
            value: value.map(|value| StringMatch::Exact(value.to_owned())),
            ignore_case: false,
        }],
        ..RouteMatch::default()
    };
    let cases = [
        (Some("1"), "/?a=1", true),
        (Some("1"), "/?b=2&a=1#f", true),
        (Some("1"), "/?a=2&a=1", false),
        (Some("1"), "/", false),
        (None, "/?a", true),
        (None, "/?ab=1", false),
    ];
    for (value, target, expected) in cases {
        assert_eq!(
            meets(query(value), &get(target, &[])),
            expected,
            "{value:?} {target}"
        );
    }
}

#[test]
fn request_first_matching_route_wins() {
    let jason = header("end-user", Some(StringMatch::Exact("jason".to_owned())));
    let special = RouteMatch {
        headers: vec![jason],
        ..RouteMatch::default()
    };
    let table = table(vec![
        route(special, RouteAction::Forward(forward_to(&[("v2", 100)]))),
        route(
            RouteMatch::default(),
            RouteAction::Forward(forward_to(&[("v1", 100)])),
        ),
    ]);
    assert_eq!(outcome(&table, &get("/x", &[("end-user", "jason")])), "v2");
    assert_eq!(outcome(&table, &get("/x", &[])), "v1");
    let elsewhere = Request {
        authority: "ratings",
        ..get("/", &[])
    };
    assert_eq!(outcome(&table, &elsewhere), "not found");
}

#[test]
fn split_follows_weights_and_zero_gets_nothing() {
    let action = RouteAction::Forward(forward_to(&[("v1", 90), ("v2", 10), ("v3", 0)]));
    let table = table(vec![route(RouteMatch::default(), action)]);
    let mut rng = SmallRng::seed_from_u64(7);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let Outcome::Forward(target) = request(&table, &get("/", &[]), &mut rng).outcome else {
            panic!("a forward")
        };
        *counts.entry(target.branch.name.clone()).or_insert(0) += 1;
    }
    assert!((8_900..9_100).contains(&counts["v1"]), "{counts:?}");
    assert!(!counts.contains_key("v3"));
}

#[test]
fn rewrite_replaces_what_matched_and_keeps_the_query() {
    let rewritten = |kind: PathMatch, rewrite: PathRewrite, target| {
        let forward = Forward {
            rewrite: Some(rewrite),
            ..forward_to(&[("a", 100)])
        };
        let table = table(vec![route(path(kind), RouteAction::Forward(forward))]);
        outcome(&table, &get(target, &[]))
    };
    let to = |new: &str| PathRewrite::Prefix(new.to_owned());
    let prefix = || PathMatch::Prefix("/old/".to_owned());
    assert_eq!(
        rewritten(prefix(), to("/new/"), "/old/x?q=1"),
        "a /new/x?q=1"
    );
    let exact = PathMatch::Exact("/old/x".to_owned());
    assert_eq!(rewritten(exact, to("/y"), "/old/x?q"), "a /y?q");
    let regex = PathRewrite::Regex {
        pattern: "/([a-z]+)/x".to_owned(),
        substitution: r"/x/\1".to_owned(),
    };
    assert_eq!(rewritten(prefix(), regex, "/old/x/z?q"), "a /x/old/z?q");
}

#[test]
fn host_rewrite_of_the_route_beats_the_branchs() {
    let mut forward = forward_to(&[("a", 100)]);
    forward.clusters[0].host_rewrite = Some("branch".to_owned());
    let host = |forward: Forward| {
        let table = table(vec![route(
            RouteMatch::default(),
            RouteAction::Forward(forward),
        )]);
        let mut rng = SmallRng::seed_from_u64(1);
        match request(&table, &get("/", &[]), &mut rng).outcome {
            Outcome::Forward(target) => target.host.map(Cow::into_owned),
            _ => None,
        }
    };
    assert_eq!(host(forward.clone()).as_deref(), Some("branch"));
    forward.host_rewrite = Some("route".to_owned());
    assert_eq!(host(forward).as_deref(), Some("route"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn redirect_parts_follow_envoy() {
    let go = |redirect: Redirect, head: &Request| {
        let prefix = PathMatch::Prefix("/a".to_owned());
        outcome(
            &table(vec![route(path(prefix), RouteAction::Redirect(redirect))]),
            head,
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let base = || Redirect {
        status: 301,
        ..Redirect::default()
    };
    let head = get("/a/b?q=1", &[]);
    let cases = [
        (
            Redirect {
                host: some("h"),
                ..base()
            },
            "301 http://h/a/b?q=1",
        ),
        (
            Redirect {
                scheme: some("https"),
                ..base()
            },
            "301 https://reviews:9080/a/b?q=1",
        ),
        (
            Redirect {
                scheme: some("https"),
                port: Some(443),
                ..base()
            },
            "301 https://reviews:443/a/b?q=1",
        ),
        (
            Redirect {
                port: Some(81),
                ..base()
            },
            "301 http://reviews:81/a/b?q=1",
        ),
        (
            Redirect {
                path: some("/p"),
                ..base()
            },
            "301 http://reviews:9080/p?q=1",
        ),
        (
            Redirect {
                path: some("/p?x"),
                ..base()
            },
            "301 http://reviews:9080/p?x",
        ),
        (
            Redirect {
                prefix: some("/z"),
                ..base()
            },
            "301 http://reviews:9080/z/b?q=1",
        ),
    ];
    for (redirect, expected) in cases {
        assert_eq!(go(redirect, &head), expected);
    }
    let default_port = Request {
        authority: "reviews:80",
        ..get("/a", &[])
    };
    let https = Redirect {
        scheme: some("https"),
        ..base()
    };
    assert_eq!(go(https, &default_port), "301 https://reviews/a");
}

/// Where a user's requests go, over a split of `v2`, `v1` and another service of the same weight.
fn places(weights: [u32; 2], headers: &[(&'static str, &'static str)]) -> Vec<String> {
    let affinity = Affinity {
        first: 0,
        count: 2,
        of: HashOf::Header("user".to_owned()),
        salt: "a".to_owned(),
    };
    let [v2, v1] = weights;
    let forward = Forward {
        affinity: vec![affinity],
        ..forward_to(&[("v2", v2), ("v1", v1), ("other", v1 + v2)])
    };
    let everything = RouteMatch::default();
    let table = table(vec![route(everything, RouteAction::Forward(forward))]);
    let mut rng = SmallRng::seed_from_u64(5);
    let mut names = Vec::new();
    for _ in 0..200 {
        match request(&table, &get("/", headers), &mut rng).outcome {
            Outcome::Forward(target) => names.push(target.branch.name.clone()),
            other => panic!("{other:?}"),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn affinity_keeps_the_branch_of_a_client_and_only_within_its_run() {
    let anybody = places([1, 1], &[]);
    assert_eq!(anybody, ["other", "v1", "v2"]);
    let mut seen = std::collections::BTreeSet::new();
    for user in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let small = places([1, 9], &[("user", user)]);
        let large = places([600, 400], &[("user", user)]);
        assert_eq!((small.len(), large.len()), (2, 2), "{user}");
        assert!(small[1] == "v1" || large[1] == "v2", "{user} left v2");
        seen.extend(large);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn copies_are_only_of_requests_that_went_to_the_clusters_named() {
    let mirror = Mirror {
        cluster: "copy".to_owned(),
        percent: 100.0,
        only_from: vec!["b".to_owned()],
        ..Mirror::default()
    };
    let forward = Forward {
        mirrors: vec![mirror],
        ..forward_to(&[("a", 1), ("b", 1)])
    };
    let everything = RouteMatch::default();
    let table = table(vec![route(everything, RouteAction::Forward(forward))]);
    let mut rng = SmallRng::seed_from_u64(5);
    for _ in 0..100 {
        let Outcome::Forward(target) = request(&table, &get("/", &[]), &mut rng).outcome else {
            panic!("a forward")
        };
        assert_eq!(target.mirrors.len(), usize::from(target.branch.name == "b"));
    }
}

#[test]
fn mirror_share_is_drawn() {
    let mirror = |cluster: &str, percent| Mirror {
        cluster: cluster.to_owned(),
        percent,
        ..Mirror::default()
    };
    let forward = Forward {
        mirrors: vec![
            mirror("all", 100.0),
            mirror("none", 0.0),
            mirror("some", 25.0),
        ],
        ..forward_to(&[("a", 100)])
    };
    let table = table(vec![route(
        RouteMatch::default(),
        RouteAction::Forward(forward),
    )]);
    let mut rng = SmallRng::seed_from_u64(3);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..1_000 {
        let Outcome::Forward(target) = request(&table, &get("/", &[]), &mut rng).outcome else {
            panic!("a forward")
        };
        for mirror in target.mirrors {
            *counts.entry(mirror.cluster.clone()).or_insert(0) += 1;
        }
    }
    assert_eq!(counts["all"], 1_000);
    assert!((200..300).contains(&counts["some"]), "{counts:?}");
    assert!(!counts.contains_key("none"));
}

#[test]
fn explain_gives_the_same_decision_with_its_reasons() {
    let mut named = route(
        path(PathMatch::Exact("/x".to_owned())),
        RouteAction::Forward(forward_to(&[("v2", 100)])),
    );
    named.name = "canary".to_owned();
    let table = table(vec![
        named,
        route(
            RouteMatch::default(),
            RouteAction::Forward(forward_to(&[("v1", 100)])),
        ),
    ]);
    let mut rng = SmallRng::seed_from_u64(1);
    let head = get("/", &[]);
    let (decision, lines) = explain(&table, &head, &mut rng);
    assert_eq!(decision, request(&table, &head, &mut rng));
    assert_eq!(
        lines,
        [
            "host reviews:9080 belongs to reviews:9080",
            "path / does not match exactly /x",
            "route #0 `canary`: no",
            "route #1: taken",
            "cluster v1",
        ]
    );
}

#[test]
fn request_among_many_routes_takes_the_first_that_matches() {
    let kinds: [fn(String) -> PathMatch; 4] = [
        PathMatch::Exact,
        PathMatch::Prefix,
        PathMatch::SegmentPrefix,
        |path| PathMatch::Regex(FullRegex::new(&format!("{path}/?")).expect("a regex")),
    ];
    let paths = ["/", "/a", "/a/b", "/a/bc", "/d", "/d/e/f"];
    // Every kind of every path, in an order that mixes them, each for one user.
    let routes = (0..120).map(|number| {
        let matches = RouteMatch {
            headers: vec![header(
                "user",
                Some(StringMatch::Exact((number * 7 % 5).to_string())),
            )],
            ..path(kinds[number % 4](paths[number * 5 % 6].to_owned()))
        };
        let cluster = number.to_string();
        route(
            matches,
            RouteAction::Forward(forward_to(&[(&cluster, 100)])),
        )
    });
    let table = table(routes.collect());
    let mut found = 0;
    for user in ["0", "1", "2", "3", "4", "5"] {
        for path in [
            "/", "/a", "/a/", "/a/b", "/a/bc", "/a/b/c", "/d/e", "/x", "/A",
        ] {
            let head = get(path, &[("user", user)]);
            let mut rng = SmallRng::seed_from_u64(1);
            let quick = request(&table, &head, &mut rng);
            // With reasons, every route is looked at.
            assert_eq!(quick, explain(&table, &head, &mut rng).0, "{user} {path}");
            found += usize::from(quick.route.is_some());
        }
    }
    assert!((20..54).contains(&found), "{found}");
}

fn chain_named(name: &str, matches: ChainMatch) -> FilterChain {
    let action = ChainAction::Tcp(TcpChain {
        stat_prefix: String::new(),
        direction: Direction::Outbound,
        clusters: crate::listener::TcpBranch::only(name),
        access_log: Vec::new(),
        idle_timeout: None,
        ..TcpChain::default()
    });
    FilterChain {
        tls: None,
        name: name.to_owned(),
        matches,
        action,
        ..FilterChain::default()
    }
}

fn listener(name: &str, address: &str, bound: bool, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name: name.to_owned(),
        address: address.parse().expect("an address"),
        bind_to_port: bound,
        use_original_dst: bound,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: Duration::ZERO,
        chains,
        default_chain: Some(chain_named(
            &format!("{name} default"),
            ChainMatch::default(),
        )),
        ..Listener::default()
    }
}

fn chosen(listeners: Vec<Listener>, connection: &Connection<'_>) -> String {
    let mut mesh = MeshConfig::default();
    let bound = listeners[0].name.clone();
    for listener in listeners {
        mesh.listeners
            .insert(listener.name.clone(), Arc::new(listener));
    }
    let config = Config::new(Arc::new(mesh), None);
    chain(&config, &config.mesh().listeners[&bound], connection)
        .map_or_else(|| "closed".to_owned(), |choice| choice.chain.name.clone())
}

#[test]
fn chain_hand_over_prefers_the_exact_address() {
    let all = || {
        vec![
            listener("virtualOutbound", "0.0.0.0:15001", true, vec![]),
            listener("any", "0.0.0.0:80", false, vec![]),
            listener("vip", "10.96.0.7:80", false, vec![]),
        ]
    };
    let cases = [
        (Some("10.96.0.7:80"), "vip default"),
        (Some("10.96.0.8:80"), "any default"),
        (Some("10.96.0.7:81"), "virtualOutbound default"),
        (None, "virtualOutbound default"),
    ];
    for (destination, expected) in cases {
        let connection = Connection {
            destination: destination.map(|text| text.parse().expect("an address")),
            transport_protocol: "raw_buffer",
            ..Connection::default()
        };
        assert_eq!(chosen(all(), &connection), expected, "{destination:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn chain_most_specific_match_wins_criterion_by_criterion() {
    let strings = |items: &[&str]| items.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let range = |text: &str| vec![text.parse().expect("a range")];
    let chains = || {
        vec![
            chain_named(
                "port",
                ChainMatch {
                    destination_port: Some(80),
                    ..ChainMatch::default()
                },
            ),
            chain_named(
                "port http",
                ChainMatch {
                    destination_port: Some(80),
                    application_protocols: strings(&["http/1.1"]),
                    ..ChainMatch::default()
                },
            ),
            chain_named(
                "wide",
                ChainMatch {
                    destination_ranges: range("10.0.0.0/8"),
                    ..ChainMatch::default()
                },
            ),
            chain_named(
                "narrow tls",
                ChainMatch {
                    destination_ranges: range("10.1.0.0/16"),
                    transport_protocol: Some("tls".to_owned()),
                    ..ChainMatch::default()
                },
            ),
            chain_named(
                "name",
                ChainMatch {
                    server_names: strings(&["*.a.com"]),
                    ..ChainMatch::default()
                },
            ),
        ]
    };
    let cases = [
        ("10.1.0.1:80", None, "raw_buffer", None, "port"),
        (
            "10.1.0.1:80",
            None,
            "raw_buffer",
            Some("http/1.1"),
            "port http",
        ),
        ("10.2.0.1:81", None, "raw_buffer", None, "wide"),
        ("10.1.0.1:81", None, "tls", None, "narrow tls"),
        // No way back to the wider range once the narrower one was taken.
        ("10.1.0.1:81", None, "raw_buffer", None, "l default"),
        ("11.0.0.1:81", Some("x.A.com"), "tls", None, "name"),
        ("11.0.0.1:81", Some("a.com"), "tls", None, "l default"),
    ];
    for (destination, server_name, transport_protocol, application_protocol, expected) in cases {
        let application_protocols: Vec<_> = application_protocol
            .map(str::to_owned)
            .into_iter()
            .collect();
        let connection = Connection {
            destination: Some(destination.parse().expect("an address")),
            server_name,
            transport_protocol,
            application_protocols: &application_protocols,
            source: None,
        };
        let listener = listener("l", "0.0.0.0:15006", true, chains());
        assert_eq!(
            chosen(vec![listener], &connection),
            expected,
            "{connection:?}"
        );
    }
}
