use super::*;

#[test]
fn shares_are_percentages_of_the_sum() {
    let shares_of = |weights: &[u32]| -> Vec<String> {
        let all = shares(weights.iter().map(|weight| (*weight, "x")));
        all.into_iter().map(|(share, _)| share).collect()
    };
    assert_eq!(shares_of(&[7]), ["100 %"]);
    assert_eq!(shares_of(&[90, 10]), ["90 %", "10 %"]);
    assert_eq!(shares_of(&[1, 2]), ["33.33 %", "66.67 %"]);
}

#[test]
fn parts_of_a_service_cluster_are_apart() {
    assert_eq!(
        parts("outbound|9080|v1|reviews.default.svc.cluster.local"),
        [
            "reviews.default.svc.cluster.local",
            "9080",
            "v1",
            "outbound"
        ]
    );
    assert_eq!(parts("web"), ["web", "", "", ""]);
}

#[test]
fn health_is_bad_when_one_worker_says_so() {
    let live = "a|b::10.0.0.1:80::health_flags::healthy\na|b::10.0.0.1:80::health_flags::/failed_outlier_check\n\
                a|b::10.0.0.1:80::health_flags::healthy\na|b::rq_total::3\n";
    let health = health(live);
    let key = ("a|b".to_owned(), "10.0.0.1:80".parse().unwrap());
    assert_eq!(health[&key], "/failed_outlier_check");
}
