use super::*;
use crate::matcher::FullRegex;
use crate::route::{PathMatch, Route, RouteMatch, VirtualHost};

fn table(ignore_port_in_host: bool, hosts: &[&[&str]]) -> Table {
    let virtual_hosts = hosts
        .iter()
        .map(|domains| VirtualHost {
            name: domains[0].to_owned(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            ..VirtualHost::default()
        })
        .collect();
    Table::new(Arc::new(RouteTable {
        name: "t".to_owned(),
        virtual_hosts,
        ignore_port_in_host,
        ..RouteTable::default()
    }))
}

#[test]
fn virtual_host_most_specific_domain_wins() {
    let table = table(
        true,
        &[
            &["*"],
            &["*.foo.com"],
            &["*.bar.foo.com", "*-x.foo.com"],
            &["api.*"],
            &["a.foo.com"],
        ],
    );
    let cases = [
        ("a.foo.com", Some(4)),
        ("A.FOO.com:8080", Some(4)),
        ("b.foo.com", Some(1)),
        ("b.bar.foo.com", Some(2)),
        ("1-x.foo.com", Some(2)),
        (".foo.com", Some(0)),
        ("foo.com", Some(0)),
        ("api.foo.com", Some(1)),
        ("api.example", Some(3)),
        ("api.", Some(0)),
        ("[::1]:80", Some(0)),
    ];
    for (host, expected) in cases {
        assert_eq!(table.virtual_host(host), expected, "{host}");
    }
}

#[test]
fn virtual_host_port_counts_unless_ignored() {
    let table = table(false, &[&["a"], &["a:80"]]);
    assert_eq!(table.virtual_host("a"), Some(0));
    assert_eq!(table.virtual_host("a:80"), Some(1));
    assert_eq!(table.virtual_host("a:81"), None);
}

#[test]
fn without_port_keeps_addresses_whole() {
    let cases = [
        ("a:80", "a"),
        ("a", "a"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("::1", "::1"),
    ];
    for (authority, host) in cases {
        assert_eq!(without_port(authority), host);
    }
}

#[test]
fn rewrite_groups_are_replaced_and_dollars_are_literal() {
    let rewrite = Rewrite::new("/a/([a-z]+)/b", r"/$1/\1\\x").expect("a rewrite");
    assert_eq!(rewrite.apply("/p/a/q/b/c"), r"/p/$1/q\x/c");
    assert!(check_rewrite("(", "").is_err());
    assert!(check_rewrite("a", r"\x").is_err());
}

#[test]
fn config_unchanged_table_is_taken_over() {
    let mut mesh = MeshConfig::default();
    for name in ["a", "b"] {
        let table = RouteTable {
            name: name.to_owned(),
            ..RouteTable::default()
        };
        mesh.routes.insert(name.to_owned(), Arc::new(table));
    }
    let before = Config::new(Arc::new(mesh.clone()), None);
    let changed = RouteTable {
        ignore_port_in_host: true,
        ..RouteTable::clone(&mesh.routes["b"])
    };
    mesh.routes.insert("b".to_owned(), Arc::new(changed));
    let after = Config::new(Arc::new(mesh), Some(&before));
    assert!(Arc::ptr_eq(&before.named["a"], &after.named["a"]));
    assert!(!Arc::ptr_eq(&before.named["b"], &after.named["b"]));
}

fn by_path(path: PathMatch) -> Route {
    Route {
        matches: RouteMatch {
            path,
            ..RouteMatch::default()
        },
        ..Route::default()
    }
}

#[test]
fn candidates_leave_out_only_what_cannot_match() {
    let exact = |path: &str| by_path(PathMatch::Exact(path.to_owned()));
    let prefix = |path: &str| by_path(PathMatch::Prefix(path.to_owned()));
    let segment = |path: &str| by_path(PathMatch::SegmentPrefix(path.to_owned()));
    let regex = |path: &str| by_path(PathMatch::Regex(FullRegex::new(path).expect("a regex")));
    let mut folded = exact("/FOLDED");
    folded.matches.ignore_case = true;
    let routes = vec![
        prefix("/api/v1"),
        exact("/api/v1/users"),
        segment("/api"),
        regex("/x.*"),
        prefix("/"),
        exact("/api/v1/users"),
        prefix("/api/v1/users"),
        folded,
        exact("/other"),
        prefix("/api"),
    ];
    let host = VirtualHost {
        domains: vec!["*".to_owned()],
        routes,
        ..VirtualHost::default()
    };
    let table = Table::new(Arc::new(RouteTable {
        virtual_hosts: vec![host],
        ..RouteTable::default()
    }));
    let candidates = |path| {
        let all = table.candidates(0, path).expect("an index");
        all.collect::<Vec<_>>()
    };
    assert_eq!(candidates("/api/v1/users"), [0, 1, 2, 3, 4, 5, 6, 7, 9]);
    assert_eq!(candidates("/api/v2"), [2, 3, 4, 7, 9]);
    assert_eq!(candidates("/other"), [3, 4, 7, 8]);
    assert_eq!(candidates("/"), [3, 4, 7]);
}

#[test]
fn candidates_of_many_lengths_are_complete() {
    let path = "/abcdefghijklmnopqrstuvwxyz0123456789";
    let routes = (1..=path.len())
        .rev()
        .map(|end| by_path(PathMatch::Prefix(path.chars().take(end).collect())))
        .collect::<Vec<_>>();
    let count = routes.len();
    let host = VirtualHost {
        domains: vec!["*".to_owned()],
        routes,
        ..VirtualHost::default()
    };
    let table = Table::new(Arc::new(RouteTable {
        virtual_hosts: vec![host],
        ..RouteTable::default()
    }));
    let all: Vec<_> = table.candidates(0, path).expect("an index").collect();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

#[test]
fn upper_case_anywhere_is_seen() {
    for length in 1..20 {
        for at in 0..length {
            for byte in 0..128 {
                let mut text = vec![b'z'; length];
                text[at] = byte;
                assert_eq!(has_upper(&text), byte.is_ascii_uppercase(), "{byte}");
            }
        }
    }
}
