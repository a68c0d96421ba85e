//! Istio's classic Bookinfo networking samples, by what they must do.

use super::support::{Mesh, bookinfo};

fn subsets(host: &str, names: &[&str]) -> String {
    let subsets: Vec<String> = names
        .iter()
        .map(|name| format!("{{name: {name}, labels: {{version: {name}}}}}"))
        .collect();
    format!(
        "---\nkind: DestinationRule\nmetadata: {{name: {host}}}\nspec: {{host: {host}, subsets: [{}]}}\n",
        subsets.join(", ")
    )
}

fn destination_rule_all() -> String {
    [
        subsets("productpage", &["v1"]),
        subsets("reviews", &["v1", "v2", "v3"]),
        subsets("ratings", &["v1", "v2", "v2-mysql", "v2-mysql-vm"]),
        subsets("details", &["v1", "v2"]),
    ]
    .concat()
}

fn rules(host: &str, http: &str) -> String {
    format!(
        "---\nkind: VirtualService\nmetadata: {{name: {host}}}\nspec: {{hosts: [{host}], http: [{http}]}}\n"
    )
}

fn to(host: &str, subset: &str) -> String {
    format!("{{route: [{{destination: {{host: {host}, subset: {subset}}}}}]}}")
}

const JASON: &str = "match: [{headers: {end-user: {exact: jason}}}]";

/// Calls of a workload after a sample: `(request, answer)`.
fn check(sample: &str, calls: &[(&str, &str)]) {
    let mesh = Mesh::new(&(bookinfo("default") + &destination_rule_all() + sample));
    let client = mesh.sidecar("default", &[("app", "productpage"), ("version", "v1")]);
    for (request, want) in calls {
        let host = request.split_whitespace().nth(1).unwrap();
        let vip = match host {
            "productpage" => "10.96.0.11",
            "details" => "10.96.0.12",
            "reviews" => "10.96.0.13",
            _ => "10.96.0.16",
        };
        let answer = client.call("virtualOutbound", &format!("{vip}:9080"), request);
        assert_eq!(
            answer.replace(".default.svc.cluster.local", ""),
            *want,
            "{request}"
        );
    }
}

#[test]
fn virtual_service_all_v1_pins_everything() {
    let all = ["productpage", "reviews", "ratings", "details"];
    let sample: String = all
        .iter()
        .map(|host| rules(host, &to(host, "v1")))
        .collect();
    check(
        &sample,
        &[
            ("GET productpage /", "outbound|9080|v1|productpage"),
            ("GET reviews /", "outbound|9080|v1|reviews"),
            ("GET ratings /", "outbound|9080|v1|ratings"),
            ("GET details /", "outbound|9080|v1|details"),
        ],
    );
}

#[test]
fn reviews_test_v2_and_jason_v2_v3_choose_by_user() {
    let sample = |others: &str| {
        let jason = format!("{{{JASON}, route: [{{destination: {{host: reviews, subset: v2}}}}]}}");
        rules("reviews", &format!("{jason}, {}", to("reviews", others)))
    };
    for others in ["v1", "v3"] {
        let rest = format!("outbound|9080|{others}|reviews");
        check(
            &sample(others),
            &[
                (
                    "GET reviews /reviews/0 end-user=jason",
                    "outbound|9080|v2|reviews",
                ),
                ("GET reviews /reviews/0 end-user=jasonx", &rest),
                ("GET reviews /reviews/0", &rest),
            ],
        );
    }
}

#[test]
fn ratings_abort_and_delay_hit_jason_only() {
    let sample = |fault: &str| {
        let route = "route: [{destination: {host: ratings, subset: v1}}]";
        rules(
            "ratings",
            &format!("{{{JASON}, fault: {fault}, {route}}}, {{{route}}}"),
        )
    };
    check(
        &sample("{abort: {percentage: {value: 100.0}, httpStatus: 500}}"),
        &[
            ("GET ratings / end-user=jason", "abort 500"),
            ("GET ratings /", "outbound|9080|v1|ratings"),
        ],
    );
    check(
        &sample("{delay: {percentage: {value: 100.0}, fixedDelay: 7s}}"),
        &[
            (
                "GET ratings / end-user=jason",
                "outbound|9080|v1|ratings after 7s",
            ),
            ("GET ratings /", "outbound|9080|v1|ratings"),
        ],
    );
    check(
        &sample("{delay: {fixedDelay: 7s}}"),
        &[("GET ratings / end-user=jason", "outbound|9080|v1|ratings")],
    );
}

#[test]
fn fault_injection_details_aborts_everyone() {
    let fault = "{fault: {abort: {httpStatus: 555, percentage: {value: 100}}}, route: [{destination: {host: details, subset: v1}}]}, ";
    check(
        &rules("details", &(fault.to_owned() + &to("details", "v1"))),
        &[("GET details /details/0", "abort 555")],
    );
}

#[test]
fn reviews_splits_hold_their_shares() {
    for (first, second, share) in [
        (("v1", 50), ("v3", 50), 0.5),
        (("v1", 80), ("v2", 20), 0.2),
        (("v1", 90), ("v2", 10), 0.1),
        (("v2", 50), ("v3", 50), 0.5),
    ] {
        let branch = |(subset, weight): (&str, u32)| {
            format!("{{destination: {{host: reviews, subset: {subset}}}, weight: {weight}}}")
        };
        let sample = rules(
            "reviews",
            &format!("{{route: [{}, {}]}}", branch(first), branch(second)),
        );
        let mesh = Mesh::new(&(bookinfo("default") + &destination_rule_all() + &sample));
        let client = mesh.sidecar("default", &[("app", "productpage")]);
        let shares = client.shares("virtualOutbound", "10.96.0.13:9080", "GET reviews /", 2000);
        let name = format!(
            "outbound|9080|{}|reviews.default.svc.cluster.local",
            second.0
        );
        let got = f64::from(shares[&name]) / 2000.0;
        assert!(
            (got - share).abs() < 4.0 * (share * (1.0 - share) / 2000.0_f64).sqrt(),
            "{got} {share}"
        );
    }
}

#[test]
fn cookie_header_regex_chooses_a_version() {
    let http = "{match: [{headers: {cookie: {regex: '^(.*?;)?(user=beta)(;.*)?$'}}}], route: [{destination: {host: reviews, subset: v3}}]}, ";
    check(
        &rules("reviews", &(http.to_owned() + &to("reviews", "v1"))),
        &[
            (
                "GET reviews / cookie=a=1;user=beta",
                "outbound|9080|v3|reviews",
            ),
            (
                "GET reviews / cookie=user=alpha",
                "outbound|9080|v1|reviews",
            ),
        ],
    );
}
