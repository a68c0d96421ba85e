use super::*;
use crate::matcher::StringMatch;
use crate::rbac::Template;
use crate::testing::Request;
use crate::tls::Subject;

fn exact(text: &str) -> Text {
    Text::from(StringMatch::Exact(text.to_owned()))
}

fn header(name: &str, value: Option<&str>) -> HeaderMatch {
    HeaderMatch {
        name: name.to_owned(),
        value: value.map(|value| StringMatch::Exact(value.to_owned())),
        invert: false,
        missing_as_empty: false,
        ignore_case: false,
    }
}

fn filter(action: Action, policies: Vec<(&str, Permission, Principal)>) -> RbacFilter {
    let policies = policies
        .into_iter()
        .map(|(name, permission, principal)| {
            let policy = Policy {
                permissions: vec![permission],
                principals: vec![principal],
            };
            (name.to_owned(), policy)
        })
        .collect();
    RbacFilter {
        rules: Some(Rules { action, policies }),
        ..RbacFilter::default()
    }
}

fn subject() -> Subject {
    Subject {
        name: "CN=web".to_owned(),
        uris: vec!["spiffe://cluster.local/ns/shop/sa/web".to_owned()],
        dns: vec!["web.shop".to_owned()],
        ..Subject::default()
    }
}

fn caller(subject: Option<&Subject>) -> Caller<'_> {
    Caller {
        direct: "10.0.0.7:4000".parse().expect("an address"),
        client: "203.0.113.9".parse().expect("an address"),
        destination: "[::ffff:10.1.2.3]:9080".parse().expect("an address"),
        encrypted: subject.is_some(),
        subject,
        server_name: "reviews",
    }
}

fn permits(permission: Permission, head: &Request<'_>) -> bool {
    let filter = filter(Action::Allow, vec![("p", permission, Principal::Any)]);
    authorize(&filter, head).allowed
}

fn range(text: &str) -> IpNet {
    text.parse().expect("a range")
}

#[test]
fn permission_each_kind_holds_as_envoys() {
    let head = Request {
        caller: Some(caller(None)),
        ..Request::get("/a/b?c=/d", &[("x", "1")])
    };
    let template = |text| Permission::PathTemplate(Template::new(text).expect("a template"));
    let not = |permission| Permission::Not(Box::new(permission));
    let cases = [
        (Permission::Any, true),
        (Permission::Path(exact("/a/b")), true),
        (Permission::Path(exact("/a/b?c=/d")), false),
        (template("/a/{*}"), true),
        (template("/{*}"), false),
        (Permission::Header(header(":method", Some("GET"))), true),
        (Permission::Header(header("x", None)), true),
        (Permission::Header(header("y", None)), false),
        (Permission::DestinationIp(range("10.1.0.0/16")), true),
        (Permission::DestinationIp(range("10.2.0.0/16")), false),
        (Permission::DestinationPort(9080), true),
        (Permission::DestinationPorts(9000, 9080), false),
        (Permission::DestinationPorts(9080, 9081), true),
        (Permission::ServerName(exact("reviews")), true),
        (not(Permission::DestinationPort(9080)), false),
        (Permission::All(vec![]), true),
        (Permission::OneOf(vec![]), false),
        (
            Permission::All(vec![Permission::Any, not(Permission::Any)]),
            false,
        ),
        (
            Permission::OneOf(vec![not(Permission::Any), Permission::Any]),
            true,
        ),
    ];
    for (permission, expected) in cases {
        assert_eq!(
            permits(permission.clone(), &head),
            expected,
            "{permission:?}"
        );
    }
}

#[test]
fn principal_each_kind_holds_as_envoys() {
    let subject = subject();
    let bare = Subject::default();
    let web = || Principal::Authenticated(Some(exact("spiffe://cluster.local/ns/shop/sa/web")));
    let named = |name| Principal::Authenticated(Some(exact(name)));
    let cases = [
        (web(), Some(&subject), true),
        (named("web.shop"), Some(&subject), true),
        (named("CN=web"), Some(&subject), true),
        (named("CN=web"), Some(&bare), false),
        (web(), None, false),
        (Principal::Authenticated(None), Some(&bare), true),
        (Principal::Authenticated(None), None, false),
        (Principal::DirectRemoteIp(range("10.0.0.0/8")), None, true),
        (Principal::RemoteIp(range("10.0.0.0/8")), None, false),
        (Principal::RemoteIp(range("203.0.113.0/24")), None, true),
        (Principal::Path(exact("/")), None, true),
        (Principal::Not(Box::new(web())), None, true),
    ];
    for (principal, subject, expected) in cases {
        let head = Request {
            caller: Some(caller(subject)),
            ..Request::get("/", &[])
        };
        let filter = filter(
            Action::Allow,
            vec![("p", Permission::Any, principal.clone())],
        );
        assert_eq!(authorize(&filter, &head).allowed, expected, "{principal:?}");
    }
}

#[test]
fn action_decides_what_a_match_means_and_names_the_first() {
    let head = Request::get("/a", &[]);
    let policies = |path: &str| {
        vec![
            ("b", Permission::Path(exact(path)), Principal::Any),
            ("a", Permission::Path(exact(path)), Principal::Any),
        ]
    };
    let cases = [
        (Action::Allow, "/a", true, Some("a"), false),
        (Action::Allow, "/b", false, None, false),
        (Action::Deny, "/a", false, Some("a"), false),
        (Action::Deny, "/b", true, None, false),
        (Action::Log, "/a", true, Some("a"), true),
        (Action::Log, "/b", true, None, false),
    ];
    for (action, path, allowed, policy, logged) in cases {
        let filter = filter(action, policies(path));
        let judgement = authorize(&filter, &head);
        assert_eq!(judgement.allowed, allowed, "{action:?} {path}");
        assert_eq!(judgement.policy, policy, "{action:?} {path}");
        assert_eq!(judgement.logged, logged, "{action:?} {path}");
    }
}

#[test]
fn filter_without_rules_allows_and_without_policies_denies() {
    let head = Request::get("/", &[]);
    assert!(authorize(&RbacFilter::default(), &head).allowed);
    assert!(!authorize(&filter(Action::Allow, vec![]), &head).allowed);
    assert!(authorize(&filter(Action::Deny, vec![]), &head).allowed);
}

#[test]
fn shadow_rules_are_told_but_not_obeyed() {
    let filter = RbacFilter {
        rules: None,
        shadow: filter(Action::Deny, vec![("dry", Permission::Any, Principal::Any)]).rules,
        ..RbacFilter::default()
    };
    let judgement = authorize(&filter, &Request::get("/", &[]));
    assert!(judgement.allowed);
    let expected = Shadow {
        allowed: false,
        policy: Some("dry"),
    };
    assert_eq!(judgement.shadow, Some(expected));
}

#[test]
fn condition_that_cannot_be_judged_denies() {
    let garbled = Request {
        unreadable: vec!["x"],
        ..Request::get("/", &[])
    };
    let conditions = [
        Permission::Header(header("x", Some("1"))),
        Permission::Not(Box::new(Permission::Header(header("x", Some("1"))))),
        Permission::DestinationPort(80),
        Permission::Not(Box::new(Permission::DestinationPort(80))),
    ];
    for condition in conditions {
        for action in [Action::Allow, Action::Deny] {
            let filter = filter(action, vec![("p", condition.clone(), Principal::Any)]);
            let judgement = authorize(&filter, &garbled);
            assert!(!judgement.allowed, "{action:?} {condition:?}");
        }
    }
    // What is known decides where it can.
    let other = vec![Permission::Any, Permission::Header(header("x", None))];
    assert!(permits(Permission::OneOf(other.clone()), &garbled));
    assert!(!permits(Permission::All(other), &garbled));
}

#[test]
fn connection_conditions_on_requests_do_not_hold() {
    let judge = |permission| {
        let filter = filter(Action::Deny, vec![("p", permission, Principal::Any)]);
        authorize_connection(&filter, &caller(None)).allowed
    };
    assert!(judge(Permission::Path(exact("/"))));
    assert!(judge(Permission::Header(header(":method", None))));
    assert!(!judge(Permission::DestinationPort(9080)));
}

#[test]
fn details_name_the_policy_without_spaces() {
    assert_eq!(
        details(Some("ns[a]-policy[b c]")),
        "rbac_access_denied_matched_policy[ns[a]-policy[b_c]]"
    );
    assert_eq!(details(None), "rbac_access_denied_matched_policy[none]");
}
