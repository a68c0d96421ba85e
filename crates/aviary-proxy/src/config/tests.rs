use super::*;

fn vars(more: &[(&str, &str)]) -> HashMap<String, String> {
    [
        ("POD_NAME", "reviews-v1-x"),
        ("POD_NAMESPACE", "prod"),
        ("INSTANCE_IP", "10.244.0.7"),
        ("ISTIO_META_WORKLOAD", "reviews-v1"),
        ("ISTIO_META_LABELS", r#"{"app":"reviews","version":"v1"}"#),
    ]
    .iter()
    .chain(more)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect()
}

#[test]
fn config_sidecar_vars_give_node_id_and_labels() {
    let config = Config::from_vars(&vars(&[])).unwrap();
    assert_eq!(
        config.node.id,
        "sidecar~10.244.0.7~reviews-v1-x.prod~prod.svc.cluster.local"
    );
    let labels = config.workload_labels();
    assert_eq!(labels.canonical_service, "reviews");
    assert_eq!(labels.canonical_revision, "v1");
    assert_eq!(labels.workload, "reviews-v1");
}

#[test]
fn config_listen_fds_are_read_in_order() {
    let config = Config::from_vars(&vars(&[("AVIARY_LISTEN_FDS", "8080=7,8443=8")])).unwrap();
    assert_eq!(
        config.inherited,
        [
            Inherited { port: 8080, fd: 7 },
            Inherited { port: 8443, fd: 8 }
        ]
    );
}

#[test]
fn config_bad_values_are_refused_by_name() {
    let error = |name: &str, value: &str| {
        Config::from_vars(&vars(&[(name, value)]))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("AVIARY_LISTEN_FDS", "8080"),
        "AVIARY_LISTEN_FDS is `8080`, expected `port=descriptor,…`"
    );
    assert_eq!(
        error("INSTANCE_IP", "here"),
        "INSTANCE_IP is `here`, expected an IP address"
    );
    assert_eq!(
        error("AVIARY_XDS_SOCKET", "/x"),
        "AVIARY_XDS_TOKEN is not set; the node agent sets it for every proxy"
    );
}
