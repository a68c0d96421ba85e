use std::time::Duration;

use super::*;
use crate::testing::Request;

fn policy(of: HashOf) -> HashPolicy {
    HashPolicy {
        of,
        terminal: false,
    }
}

fn header(name: &str) -> HashPolicy {
    policy(HashOf::Header(name.to_owned()))
}

fn of(text: &str) -> u64 {
    xxhash64(text.as_bytes(), 0)
}

#[test]
fn header_values_are_hashed_in_sorted_order() {
    let policies = [header("user")];
    let value = |headers: &[_]| hash(&policies, &Request::get("/", headers)).value;
    assert_eq!(value(&[("user", "jason")]), Some(of("jason")));
    let both = xxhash64(b"b", of("a"));
    assert_eq!(value(&[("user", "b"), ("user", "a")]), Some(both));
    assert_eq!(value(&[]), None);
}

#[test]
fn query_parameter_first_value_is_hashed_as_written() {
    let policies = [policy(HashOf::Query("k".to_owned()))];
    let value = |path| hash(&policies, &Request::get(path, &[])).value;
    assert_eq!(value("/?a=1&k=%20x&k=2"), Some(of("%20x")));
    assert_eq!(value("/?kk=1"), None);
    assert_eq!(value("/#?k=1"), None);
}

#[test]
fn source_address_is_the_clients() {
    let policies = [policy(HashOf::SourceIp)];
    let head = Request {
        caller: Some(Caller {
            client: "::ffff:203.0.113.9".parse().expect("an address"),
            ..Caller::default()
        }),
        ..Request::get("/", &[])
    };
    assert_eq!(hash(&policies, &head).value, Some(of("203.0.113.9")));
    assert_eq!(hash(&policies, &Request::get("/", &[])).value, None);
}

#[test]
fn policies_are_combined_until_a_terminal_one_gives_a_hash() {
    let head = Request::get("/", &[("a", "1"), ("b", "2")]);
    let both = [header("a"), header("b")];
    assert_eq!(
        hash(&both, &head).value,
        Some(of("1").rotate_left(1) ^ of("2"))
    );
    let terminal = |name| HashPolicy {
        terminal: true,
        ..header(name)
    };
    assert_eq!(
        hash(&[terminal("none"), header("b")], &head).value,
        Some(of("2"))
    );
    assert_eq!(
        hash(&[terminal("a"), header("b")], &head).value,
        Some(of("1"))
    );
}

#[test]
fn cookie_absent_is_made_for_the_connection_when_it_has_a_lifetime() {
    let cookie = HashCookie {
        name: "session".to_owned(),
        ttl: Some(Duration::from_mins(1)),
        path: "/p".to_owned(),
        attributes: vec![
            ("SameSite".to_owned(), "Strict".to_owned()),
            ("Secure".to_owned(), String::new()),
        ],
    };
    let policies = [policy(HashOf::Cookie(cookie.clone()))];
    let caller = Caller {
        direct: "10.0.0.1:5000".parse().expect("an address"),
        destination: "10.0.0.2:80".parse().expect("an address"),
        ..Caller::default()
    };
    let head = Request {
        caller: Some(caller),
        ..Request::get("/", &[("cookie", "a=b")])
    };
    let value = format!("{:016x}", of("10.0.0.1:500010.0.0.2:80"));
    let hashed = hash(&policies, &head);
    assert_eq!(hashed.value, Some(of(&value)));
    assert_eq!(
        hashed.cookie.expect("a cookie").to_string(),
        format!("session=\"{value}\"; Max-Age=60; Path=/p; SameSite=Strict; Secure; HttpOnly")
    );

    let known = Request::get("/", &[("cookie", "a=b; session=\"x y\"")]);
    let hashed = hash(&policies, &known);
    assert_eq!((hashed.value, hashed.cookie), (Some(of("x y")), None));

    let no_ttl = [policy(HashOf::Cookie(HashCookie {
        ttl: None,
        ..cookie
    }))];
    assert_eq!(hash(&no_ttl, &head), Hashed::default());
}
