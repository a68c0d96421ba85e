use aviary_mesh::matcher::StringMatch;
use aviary_mesh::tls::{
    Certificate, CipherSuite, Group, Private, SanKind, SanMatch, Secret, SecretKind, Settings,
    Source, Validation, ValidationRules, Version,
};
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, DataSource, data_source};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, TlsCertificate, TlsParameters,
    tls_parameters::TlsProtocol,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::any;
use proptest::prelude::*;

use super::super::value::any as packed;
use super::*;
use crate::{Kind, Resource};

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        "/[a-z]{1,5}".prop_map(Source::File),
        "[a-z]{1,5}".prop_map(Source::Text),
        vec(any::<u8>(), 1..4).prop_map(Source::Bytes),
    ]
}

fn pair() -> impl Strategy<Value = (Source, Private)> {
    (source(), source().prop_map(Private::new))
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop_oneof![
        pair().prop_map(|(chain, key)| Certificate::Pair { chain, key }),
        "[a-z]{1,5}".prop_map(Certificate::Secret),
    ]
}

fn rules() -> impl Strategy<Value = ValidationRules> {
    let kind = prop_oneof![
        Just(SanKind::Dns),
        Just(SanKind::Uri),
        Just(SanKind::Ip),
        Just(SanKind::Email)
    ];
    let name =
        (kind, "[a-z]{1,5}", any::<bool>()).prop_map(|(kind, value, ignore_case)| SanMatch {
            kind,
            value: StringMatch::Prefix(value),
            ignore_case,
        });
    (of(source()), vec(name, 0..3))
        .prop_map(|(trusted_ca, names)| ValidationRules { trusted_ca, names })
}

/// Rules that say something: those that say nothing are none.
fn validation() -> impl Strategy<Value = Validation> {
    (rules(), of("[a-z]{1,5}"))
        .prop_map(|(rules, secret)| Validation { rules, secret })
        .prop_filter("empty", |it| *it != Validation::default())
}

fn settings() -> impl Strategy<Value = Settings> {
    let version = of(Just(Version::Tls12));
    (
        version,
        of(Just(Version::Tls13)),
        vec(Just(CipherSuite::EcdheRsaAes128Gcm), 0..2),
        vec(Just(Group::P256), 0..2),
        vec("[a-z]{1,5}", 0..2),
    )
        .prop_map(
            |(min_version, max_version, cipher_suites, groups, alpn)| Settings {
                min_version,
                max_version,
                cipher_suites,
                groups,
                alpn,
            },
        )
}

/// In the order of the protobuf: what is here, then what is named.
fn sorted(mut certificates: Vec<Certificate>) -> Vec<Certificate> {
    certificates.sort_by_key(|it| matches!(it, Certificate::Secret(_)));
    certificates
}

fn downstream_tls() -> impl Strategy<Value = DownstreamTls> {
    let flags = any::<[bool; 3]>();
    let certificates = vec(certificate(), 1..3);
    (settings(), certificates, of(validation()), flags).prop_map(
        |(settings, certificates, validation, [require, sni, no_resumption])| DownstreamTls {
            settings,
            certificates: sorted(certificates),
            require_client_certificate: require && validation.is_some(),
            validation,
            require_server_name: sni,
            no_resumption,
        },
    )
}

fn upstream_tls() -> impl Strategy<Value = UpstreamTls> {
    let certificates = vec(certificate(), 0..2);
    (
        settings(),
        certificates,
        of(validation()),
        "[a-z]{0,5}",
        of(0_u32..5),
    )
        .prop_map(
            |(settings, certificates, validation, server_name, max_sessions)| UpstreamTls {
                settings,
                certificates,
                validation,
                server_name,
                max_sessions,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn downstream_encoded_and_decoded_is_the_same(tls in downstream_tls()) {
        prop_assert_eq!(downstream_of(&downstream(&tls)).unwrap(), Some(tls));
    }

    #[test]
    fn cluster_encoded_and_decoded_is_the_same(
        fallback in of(upstream_tls()),
        matches in vec((any::<bool>(), of(upstream_tls())), 0..3),
    ) {
        let one = |(mesh, tls): (bool, Option<UpstreamTls>)| TlsMatch {
            name: "m".to_owned(),
            mesh,
            tls: tls.map(Arc::new),
        };
        let tls = ClusterTls {
            matches: matches.into_iter().map(one).collect(),
            fallback: fallback.map(Arc::new),
        };
        let (socket, matches) = cluster(&tls);
        prop_assert_eq!(cluster_of(socket.as_ref(), &matches).unwrap(), tls);
    }

    #[test]
    fn secret_encoded_and_decoded_is_the_same(
        kind in prop_oneof![
            pair().prop_map(|(chain, key)| SecretKind::Certificate { chain, key }),
            rules().prop_map(SecretKind::Validation),
            source().prop_map(|it| SecretKind::Generic(Private::new(it))),
        ],
    ) {
        let secret = Resource::Secret(Arc::new(Secret { name: "s".to_owned(), kind }));
        let back = Resource::decode(Kind::Secrets, "s", &secret.encode());
        prop_assert_eq!(back.unwrap(), secret);
    }
}

fn file(path: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::Filename(path.to_owned())),
        ..DataSource::default()
    }
}

/// A context as people write it.
fn written() -> DownstreamTlsContext {
    DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: vec![TlsCertificate {
                certificate_chain: Some(file("/c.pem")),
                private_key: Some(file("/c.key")),
                ..TlsCertificate::default()
            }],
            ..CommonTlsContext::default()
        }),
        ..DownstreamTlsContext::default()
    }
}

fn common(proto: &mut DownstreamTlsContext) -> &mut CommonTlsContext {
    proto.common_tls_context.get_or_insert_default()
}

#[test]
fn downstream_said_in_other_words_is_understood() {
    let mut proto = written();
    proto.require_client_certificate = boolean(false);
    proto.full_scan_certs_on_sni_mismatch = boolean(false);
    proto.session_ticket_keys_type = Some(
        SessionTicketKeysType::DisableStatelessSessionResumption(false),
    );
    let common = common(&mut proto);
    common.tls_params = Some(TlsParameters::default());
    common
        .tls_certificate_sds_secret_configs
        .push(SdsSecretConfig {
            name: "static".to_owned(),
            sds_config: None,
        });
    // Istio leaves the version of the API out.
    let mut ads = crate::resource::ads_source();
    ads.resource_api_version = 0;
    let secret = SdsSecretConfig {
        name: "ROOTCA".to_owned(),
        sds_config: Some(ads),
    };
    common.validation_context_type = Some(ValidationContextType::CombinedValidationContext(
        CombinedCertificateValidationContext {
            default_validation_context: Some(CertificateValidationContext::default()),
            validation_context_sds_secret_config: Some(secret),
            ..CombinedCertificateValidationContext::default()
        },
    ));
    let tls = downstream_of(&socket(TLS, packed(&proto)))
        .unwrap()
        .unwrap();
    assert_eq!(tls.secrets().collect::<Vec<_>>(), ["static", "ROOTCA"]);
    assert!(!tls.require_client_certificate);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn downstream_refusals_name_their_path() {
    type Spoil = fn(&mut DownstreamTlsContext);
    let table: [(Spoil, &str); 9] = [
        (
            |it| common(it).tls_certificates.clear(),
            "common_tls_context: a certificate is needed: tls_certificates, or one by SDS",
        ),
        (
            |it| it.require_client_certificate = boolean(true),
            "common_tls_context.validation_context: is needed to judge the certificates that \
             clients must have",
        ),
        (
            |it| common(it).tls_certificates[0].private_key = None,
            "common_tls_context.tls_certificates[0].private_key: is missing",
        ),
        (
            |it| {
                common(it).tls_params = Some(TlsParameters {
                    tls_minimum_protocol_version: TlsProtocol::TlSv11.into(),
                    ..TlsParameters::default()
                });
            },
            "common_tls_context.tls_params.tls_minimum_protocol_version: TLS before 1.2 is not \
             spoken; use TLSv1_2",
        ),
        (
            |it| {
                common(it).tls_params = Some(TlsParameters {
                    tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
                    tls_maximum_protocol_version: TlsProtocol::TlSv12.into(),
                    ..TlsParameters::default()
                });
            },
            "common_tls_context.tls_params.tls_minimum_protocol_version: is above the maximum",
        ),
        (
            |it| {
                common(it).tls_params = Some(TlsParameters {
                    ecdh_curves: vec!["P-521".to_owned()],
                    ..TlsParameters::default()
                });
            },
            "common_tls_context.tls_params.ecdh_curves[0]: `P-521` is not one of X25519, P-256, \
             P-384, X25519MLKEM768",
        ),
        (
            |it| {
                common(it)
                    .tls_certificate_sds_secret_configs
                    .push(SdsSecretConfig {
                        name: "x".to_owned(),
                        sds_config: Some(ConfigSource::default()),
                    });
            },
            "common_tls_context.tls_certificate_sds_secret_configs[0].sds_config: secrets come \
             over ADS or from static_resources; use `ads: {}`",
        ),
        (
            |it| {
                let rules = CertificateValidationContext {
                    crl: Some(file("/crl")),
                    ..CertificateValidationContext::default()
                };
                common(it).validation_context_type =
                    Some(ValidationContextType::ValidationContext(rules));
            },
            "common_tls_context.validation_context_type.crl: is not supported",
        ),
        (
            |it| {
                it.session_timeout =
                    super::super::value::duration(std::time::Duration::from_secs(1));
            },
            "session_timeout: is not supported",
        ),
    ];
    for (spoil, want) in table {
        let mut proto = written();
        spoil(&mut proto);
        let fault = downstream_of(&socket(TLS, packed(&proto))).unwrap_err();
        assert_eq!(
            format!("{}: {}", fault.path, fault.reason),
            format!("typed_config.{want}")
        );
    }
    let fault = downstream_of(&socket("envoy.transport_sockets.quic", Any::default())).unwrap_err();
    assert_eq!(fault.path, "name");
}

#[test]
fn raw_socket_is_plain_text() {
    let raw = socket(RAW, packed(&RawBuffer {}));
    assert_eq!(downstream_of(&raw).unwrap(), None);
    assert_eq!(upstream_of(&raw).unwrap(), None);
}
