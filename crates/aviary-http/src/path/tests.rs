use proptest::prelude::*;

use super::{EscapedSlashes, Normal, Normalize, normalize};
use crate::Error;

const DOTS: Normalize = Normalize {
    dots: true,
    merge_slashes: false,
    escaped_slashes: EscapedSlashes::Keep,
};
const MERGED: Normalize = Normalize {
    merge_slashes: true,
    ..DOTS
};
const UNESCAPED: Normalize = Normalize {
    escaped_slashes: EscapedSlashes::UnescapeAndForward,
    ..MERGED
};

/// The normal form; `400` when refused, `307` and the path when redirected.
fn form(path: &str, wanted: Normalize) -> String {
    match normalize(path, wanted) {
        Ok(Normal::Same) => path.to_owned(),
        Ok(Normal::Changed(other)) => {
            assert_ne!(other, path);
            other
        }
        Ok(Normal::Redirect(other)) => format!("307 {other}"),
        Err(error) => {
            assert_eq!(error, Error::PathRefused);
            "400".to_owned()
        }
    }
}

/// Path, with `dots`, with `merge_slashes` too, with escaped slashes unescaped too; `=` for the
/// path itself. All rows are Envoy 1.40's answers.
const ENVOY: &[[&str; 4]] = &[
    ["/", "=", "=", "="],
    ["//", "=", "=", "="],
    ["///", "=", "//", "//"],
    ["////", "=", "//", "//"],
    ["///a//b", "=", "/a/b", "/a/b"],
    ["/a//", "=", "/a/", "/a/"],
    ["/a/.", "/a/", "/a/", "/a/"],
    ["/a/..", "/", "/", "/"],
    ["/a/./b", "/a/b", "/a/b", "/a/b"],
    ["/a/../b", "/b", "/b", "/b"],
    ["/..", "/", "/", "/"],
    ["/.", "/", "/", "/"],
    ["/../../a", "/a", "/a", "/a"],
    ["/a/b/../../../c", "/c", "/c", "/c"],
    ["/a/...", "=", "=", "="],
    ["/a/..b", "=", "=", "="],
    ["/a/.b", "=", "=", "="],
    ["/a/b.", "=", "=", "="],
    ["/a/%2e", "/a/", "/a/", "/a/"],
    ["/a/%2E%2e/b", "/b", "/b", "/b"],
    ["/a/.%2e/b", "/b", "/b", "/b"],
    ["/%2e/%2E/", "/", "/", "/"],
    ["/a/%2f/b", "=", "=", "/a/b"],
    ["/a%2fb", "=", "=", "/a/b"],
    ["/a%5Cb", "=", "=", "/a/b"],
    ["/a\\b", "/a/b", "/a/b", "/a/b"],
    ["/a\\..\\b", "/b", "/b", "/b"],
    ["/\\a", "//a", "/a", "/a"],
    ["/\\", "//", "//", "//"],
    ["/a\\", "/a/", "/a/", "/a/"],
    ["/a;b", "=", "=", "="],
    ["/a;../b", "=", "=", "="],
    ["/a/..;/b", "/b", "/b", "/b"],
    ["/a/..;x=y/b", "/b", "/b", "/b"],
    ["/a/..;a;b/c", "/c", "/c", "/c"],
    ["/a/.;x/b", "/a/b", "/a/b", "/a/b"],
    ["/a/..;", "/", "/", "/"],
    ["/a/.;?x", "/a/?x", "/a/?x", "/a/?x"],
    ["/..;/", "/", "/", "/"],
    ["/a;x/..;y/b", "/b", "/b", "/b"],
    ["/a/...;/b", "=", "=", "="],
    ["//a//b;//c", "=", "/a/b;/c", "/a/b;/c"],
    ["/a/..%3b/b", "=", "=", "="],
    ["/a/%2e%2e%3b/b", "/a/..%3b/b", "/a/..%3b/b", "/a/..%3b/b"],
    ["/a%7e%2d%5f%2E", "/a~-_.", "/a~-_.", "/a~-_."],
    ["/%30%39%41%5a%61%7a", "/09AZaz", "/09AZaz", "/09AZaz"],
    ["/a%3d%20%40%2a%2B%5B%7b%22%7F%0a%c3%A9%ff", "=", "=", "="],
    ["/a%00b", "400", "400", "400"],
    ["/%00", "400", "400", "400"],
    ["/a%", "=", "=", "="],
    ["/a%2", "=", "=", "="],
    ["/a%zz%2g", "=", "=", "="],
    ["/a/%2e%2", "/a/.%2", "/a/.%2", "/a/.%2"],
    ["/a%25%32%65", "/a%252e", "/a%252e", "/a%252e"],
    ["/%252e%252e/a", "=", "=", "="],
    ["/a%252fb", "=", "=", "="],
    [
        "/a\"<>^`{|}b",
        "/a%22%3C%3E%5E%60%7B%7C%7Db",
        "/a%22%3C%3E%5E%60%7B%7C%7Db",
        "/a%22%3C%3E%5E%60%7B%7C%7Db",
    ],
    ["/a[b]'(c)*!$&,+:@=~", "=", "=", "="],
    ["/a?b/../c//%2f", "=", "=", "="],
    [
        "/a/../b?x//y%2f\\z",
        "/b?x//y%2f\\z",
        "/b?x//y%2f\\z",
        "/b?x//y%2f\\z",
    ],
    ["/a/..?x", "/?x", "/?x", "/?x"],
    ["/a//?//", "=", "/a/?//", "/a/?//"],
    ["/%2F", "=", "=", "//"],
    ["/a/%2F..", "=", "=", "/a/"],
    ["/a/%2f..%2fb", "=", "=", "/a/b"],
    ["/a/..%2fb", "=", "=", "/b"],
    ["/a/..%2f..%2fb", "=", "=", "/b"],
    ["/a/%2e%2e%2fb", "/a/..%2fb", "/a/..%2fb", "/b"],
    ["/a/..%5cb", "=", "=", "/b"],
    ["/a%2f%2fb", "=", "=", "/a/b"],
    ["/a%2fb?%2f%5c", "=", "=", "/a/b?%2f%5c"],
    ["//a/../b", "//b", "/b", "/b"],
    ["/a//../b", "/a/b", "/a/b", "/a/b"],
    ["/a///../b", "/a//b", "/a/b", "/a/b"],
    ["/a/b//..", "/a/b/", "/a/b/", "/a/b/"],
    ["//..//a", "//a", "/a", "/a"],
];

/// Envoy leaves them; who ignores parameters would see another path than the rules.
#[test]
fn segment_of_nothing_but_parameters_is_refused() {
    for path in ["/a/;/..", "/;/admin", "/;a=b/admin", "/a/;"] {
        assert_eq!(form(path, DOTS), "400", "{path}");
        assert_eq!(form(path, Normalize::default()), path);
    }
}

#[test]
fn normal_form_is_that_of_envoy() {
    for [path, dots, merged, unescaped] in ENVOY {
        for (wanted, expected) in [(DOTS, dots), (MERGED, merged), (UNESCAPED, unescaped)] {
            let expected = if *expected == "=" { path } else { expected };
            assert_eq!(form(path, wanted), *expected, "{path} {wanted:?}");
        }
        assert_eq!(form(path, Normalize::default()), *path);
    }
}

#[test]
fn escaped_slashes_are_refused_redirected_or_only_unescaped_as_envoy_does() {
    let with = |escaped_slashes| Normalize {
        escaped_slashes,
        ..DOTS
    };
    for path in ["/a%2fb", "/a%5Cb", "/%2F..", "/a/%2e%2e%2fb?x"] {
        assert_eq!(form(path, with(EscapedSlashes::Reject)), "400", "{path}");
    }
    assert_eq!(form("/a?%2f", with(EscapedSlashes::Reject)), "/a?%2f");
    let redirect = with(EscapedSlashes::UnescapeAndRedirect);
    assert_eq!(form("/a/%2f/b", redirect), "307 /a///b");
    assert_eq!(form("/a/..%5cb", redirect), "307 /b");
    assert_eq!(form("/a/../b", redirect), "/b");
    let unescape_and_merge = Normalize {
        dots: false,
        ..UNESCAPED
    };
    assert_eq!(form("/a%5cb", unescape_and_merge), "/a\\b");
    assert_eq!(form("/a/..%2fb/.", unescape_and_merge), "/a/../b/.");
    assert_eq!(form("/a/%2f/b", unescape_and_merge), "/a/b");
}

#[test]
fn normal_form_differs_from_envoy_where_its_own_changes_at_the_next_hop() {
    // Envoy 1.40: `/a/..;/b`, `/a/..;/b`, `/%2e` and `/`.
    for (path, expected) in [
        ("/a/%2e%2e;/b", "/b"),
        ("/a\\..;/b", "/b"),
        ("/%2%65", "/%2%65"),
        ("/%\\%65", "/%/e"),
        ("/a/..;\\b", "/b"),
    ] {
        assert_eq!(form(path, DOTS), expected, "{path}");
    }
}

#[test]
fn path_of_another_form_is_left_alone() {
    for path in ["*", "", "a/../b"] {
        assert_eq!(normalize(path, UNESCAPED), Ok(Normal::Same));
    }
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", ".", "..", "%2e", "%2E", "%2f", "%5C", "\\", ";", "a", "%", "2", "e", "%65",
        "%32", "?", "%00", "\"", "%25", "b;c",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn normal_form_of_a_normal_form_is_itself(path in path(), dots: bool, merge_slashes: bool, unescape: bool) {
        let escaped_slashes =
            if unescape { EscapedSlashes::UnescapeAndForward } else { EscapedSlashes::Keep };
        let wanted = Normalize { dots, merge_slashes, escaped_slashes };
        if let Ok(Normal::Changed(once)) = normalize(&path, wanted)
            && (dots || !unescape)
        {
            prop_assert_eq!(normalize(&once, wanted), Ok(Normal::Same), "{}", once);
        }
    }

    #[test]
    fn normal_form_has_no_dot_segment_and_keeps_the_query(path in path()) {
        let Ok(normal) = normalize(&path, UNESCAPED) else { return Ok(()) };
        let normal = match normal { Normal::Changed(other) => other, _ => path.clone() };
        let (only, query) = normal.split_once('?').map_or((&*normal, None), |(a, b)| (a, Some(b)));
        prop_assert_eq!(query, path.split_once('?').map(|(_, query)| query));
        prop_assert!(only.starts_with('/'));
        let lower = only.to_ascii_lowercase();
        prop_assert!(!lower.contains("%2f") && !lower.contains("%5c") && !lower.contains('\\'));
        for segment in only.split('/') {
            let name = segment.split(';').next().unwrap_or_default();
            prop_assert!(name != "." && name != "..", "{normal}");
        }
    }
}
