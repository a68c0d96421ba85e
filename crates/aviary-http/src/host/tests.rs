use super::{Port, normalize, split};

#[test]
fn host_and_port_are_told_apart() {
    for (authority, host, port) in [
        ("a", "a", None),
        ("a:80", "a", Some(80)),
        ("[::1]", "[::1]", None),
        ("[::1]:80", "[::1]", Some(80)),
        ("::1", "::1", None),
        ("a:", "a:", None),
        ("a:b", "a:b", None),
        ("a:99999", "a:99999", None),
        ("a:+80", "a:+80", None),
        ("", "", None),
    ] {
        assert_eq!(split(authority), (host, port), "{authority}");
    }
}

#[test]
fn normal_form_folds_case_and_strips_what_is_asked() {
    let check = |authority: &str, port, strip_dot, expected: &str| {
        let normal = normalize(authority, port, strip_dot);
        assert_eq!(
            normal.as_deref().unwrap_or(authority),
            expected,
            "{authority}"
        );
        assert_eq!(normal.is_some(), authority != expected);
        assert_eq!(
            normalize(expected, port, strip_dot),
            None,
            "the normal form has itself"
        );
    };
    check("reviews", Port::Keep, false, "reviews");
    check(
        "Reviews.Default:9080",
        Port::Keep,
        false,
        "reviews.default:9080",
    );
    check("a:80", Port::Keep, false, "a:80");
    check("a:80", Port::Strip, false, "a");
    check("A:80", Port::StripMatching(80), false, "a");
    check("a:81", Port::StripMatching(80), false, "a:81");
    check("[::1]:80", Port::Strip, false, "[::1]");
    check("a.:80", Port::Keep, true, "a:80");
    check("a.", Port::Keep, true, "a");
    check("a.", Port::Keep, false, "a.");
    check(".", Port::Keep, true, ".");
}
