use super::*;

#[test]
fn text_is_envoys() {
    assert_eq!(Flags::NONE.text(), "-");
    assert_eq!(Flags::NO_ROUTE.text(), "NR");
    let mut flags = Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED;
    flags.insert(Flags::UPSTREAM_CONNECTION_FAILURE);
    flags.insert(Flags::DELAY_INJECTED);
    assert_eq!(flags.text(), "UF,DI,URX");
    assert_eq!(
        flags.long_text(),
        "UpstreamConnectionFailure,DelayInjected,UpstreamRetryLimitExceeded"
    );
}

#[test]
fn named_every_constant_is_its_bit() {
    for (name, flag) in [
        ("UH", Flags::NO_HEALTHY_UPSTREAM),
        ("UT", Flags::UPSTREAM_REQUEST_TIMEOUT),
        ("LR", Flags::LOCAL_RESET),
        ("UR", Flags::UPSTREAM_REMOTE_RESET),
        ("UF", Flags::UPSTREAM_CONNECTION_FAILURE),
        ("UC", Flags::UPSTREAM_CONNECTION_TERMINATION),
        ("UO", Flags::UPSTREAM_OVERFLOW),
        ("NR", Flags::NO_ROUTE),
        ("DI", Flags::DELAY_INJECTED),
        ("FI", Flags::FAULT_INJECTED),
        ("UAEX", Flags::UNAUTHORIZED_EXTERNAL_SERVICE),
        ("DC", Flags::DOWNSTREAM_CONNECTION_TERMINATION),
        ("URX", Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED),
        ("SI", Flags::STREAM_IDLE_TIMEOUT),
        ("IH", Flags::INVALID_ENVOY_REQUEST_HEADERS),
        ("DPE", Flags::DOWNSTREAM_PROTOCOL_ERROR),
        ("UMSDR", Flags::UPSTREAM_MAX_STREAM_DURATION),
        ("DT", Flags::DURATION_TIMEOUT),
        ("UPE", Flags::UPSTREAM_PROTOCOL_ERROR),
        ("NC", Flags::NO_CLUSTER),
        ("OM", Flags::OVERLOAD_MANAGER),
        ("DF", Flags::DNS_RESOLUTION_FAILED),
        ("DO", Flags::DROP_OVERLOAD),
        ("DR", Flags::DOWNSTREAM_REMOTE_RESET),
    ] {
        assert_eq!(Flags::named(name), Some(flag), "{name}");
        assert_eq!(flag.text(), name);
    }
    assert_eq!(Flags::named("uf"), None);
}
