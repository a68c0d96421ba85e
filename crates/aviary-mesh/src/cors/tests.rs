use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::matcher::StringMatch;
use crate::testing::Request;

fn policy() -> Cors {
    Cors {
        allow_origins: vec![StringMatch::Suffix(".shop".to_owned()).into()],
        allow_methods: "GET,POST".to_owned(),
        allow_headers: "*".to_owned(),
        expose_headers: "x-total".to_owned(),
        max_age: "600".to_owned(),
        allow_credentials: true,
        ..Cors::default()
    }
}

fn told(policies: [Option<&Cors>; 2], head: &Request<'_>) -> String {
    let pairs = |headers: &mut dyn Iterator<Item = (&'static str, String)>| {
        let short = |name: &str| name.trim_start_matches("access-control-").to_owned();
        headers
            .map(|(name, value)| format!("{}={value}", short(name)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    match judge(policies, head, &mut SmallRng::seed_from_u64(1)) {
        None => "nothing".to_owned(),
        Some(Verdict::Preflight(headers)) => {
            let mut headers = headers
                .into_iter()
                .map(|(name, value)| (name, value.into_owned()));
            format!("200 {}", pairs(&mut headers))
        }
        Some(Verdict::Allowed(marks)) => pairs(
            &mut marks
                .headers()
                .map(|(name, value)| (name, value.to_owned())),
        ),
    }
}

fn preflight(origin: &'static str) -> Request<'static> {
    Request {
        method: "OPTIONS",
        ..Request::get(
            "/",
            &[
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-a,x-b"),
            ],
        )
    }
}

#[test]
fn preflight_allowed_origin_is_answered() {
    assert_eq!(
        told([Some(&policy()), None], &preflight("http://web.shop")),
        "200 allow-origin=http://web.shop allow-credentials=true allow-methods=GET,POST \
         allow-headers=x-a,x-b expose-headers=x-total max-age=600"
    );
}

#[test]
fn preflight_other_origin_goes_on_unless_it_must_not() {
    let strict = Cors {
        forward_unmatched_preflights: false,
        ..policy()
    };
    let head = preflight("http://evil.example");
    assert_eq!(told([Some(&policy()), None], &head), "nothing");
    assert_eq!(
        told([Some(&strict), None], &head),
        "200 allow-credentials=true allow-methods=GET,POST allow-headers=x-a,x-b max-age=600"
    );
}

#[test]
fn request_of_an_allowed_origin_marks_the_answer() {
    let head = |origin| Request::get("/", &[("origin", origin)]);
    assert_eq!(
        told([Some(&policy()), None], &head("http://web.shop")),
        "allow-origin=http://web.shop allow-credentials=true expose-headers=x-total"
    );
    assert_eq!(
        told([Some(&policy()), None], &head("http://evil.example")),
        "nothing"
    );
    assert_eq!(told([Some(&policy()), None], &head("")), "nothing");
    assert_eq!(told([None, None], &head("http://web.shop")), "nothing");
}

#[test]
fn policy_that_is_switched_off_does_nothing() {
    let off = Cors {
        enabled_percent: 0.0,
        ..policy()
    };
    assert_eq!(
        told([Some(&off), Some(&policy())], &preflight("http://web.shop")),
        "nothing"
    );
}

#[test]
fn empty_fields_are_those_of_the_virtual_host() {
    let route = Cors {
        allow_methods: "DELETE".to_owned(),
        ..Cors::default()
    };
    assert_eq!(
        told(
            [Some(&route), Some(&policy())],
            &preflight("http://web.shop")
        ),
        "200 allow-origin=http://web.shop allow-methods=DELETE allow-headers=x-a,x-b expose-headers=x-total max-age=600"
    );
}

#[test]
fn origin_star_allows_everybody() {
    let open = Cors {
        allow_origins: vec![StringMatch::Exact("*".to_owned()).into()],
        ..Cors::default()
    };
    assert_eq!(
        told(
            [None, Some(&open)],
            &Request::get("/", &[("origin", "null")])
        ),
        "allow-origin=null"
    );
}
