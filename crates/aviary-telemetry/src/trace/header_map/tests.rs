use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

fn run(headers: &mut HeaderMap, trust: Trust, percent: f64) -> String {
    let id = prepare(headers, trust, percent, &mut StdRng::seed_from_u64(1));
    id.to_str().unwrap().to_owned()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn prepare_bare_request_gets_id_and_both_contexts() {
    let mut map = headers(&[]);
    let id = run(&mut map, Trust::Caller, 100.0);
    assert_eq!(id.len(), 36);
    assert_eq!(id.as_bytes()[14], b'4');
    assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    let parent = map[TRACEPARENT].to_str().unwrap();
    assert!(is_traceparent(parent) && parent.ends_with("-01"));
    assert_eq!(map["x-b3-sampled"], "1");
    assert!(parent.contains(map["x-b3-traceid"].to_str().unwrap()));
}

#[test]
fn prepare_unsampled_says_so() {
    let mut map = headers(&[]);
    run(&mut map, Trust::Caller, 0.0);
    assert_eq!(map["x-b3-sampled"], "0");
    assert!(map[TRACEPARENT].to_str().unwrap().ends_with("-00"));
}

#[test]
fn prepare_existing_context_goes_on_unchanged() {
    for given in [
        &[("traceparent", PARENT)][..],
        &[("x-b3-traceid", "1")],
        &[("b3", "0")],
    ] {
        let mut map = headers(given);
        run(&mut map, Trust::Caller, 100.0);
        let mut want = headers(given);
        want.insert(REQUEST_ID, map[REQUEST_ID].clone());
        assert_eq!(map, want);
    }
}

#[test]
fn prepare_broken_traceparent_is_replaced() {
    let mut map = headers(&[("traceparent", "00-zero")]);
    run(&mut map, Trust::Caller, 100.0);
    assert!(is_traceparent(map[TRACEPARENT].to_str().unwrap()));
}

#[test]
fn prepare_callers_id_is_kept_only_from_the_trusted() {
    let given = [("x-request-id", "mine")];
    assert_eq!(run(&mut headers(&given), Trust::Caller, 0.0), "mine");
    assert_ne!(run(&mut headers(&given), Trust::Nobody, 0.0), "mine");
}
