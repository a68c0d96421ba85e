//! Certificates for tests.

use std::sync::Arc;

use aviary_mesh::matcher::StringMatch;
use aviary_mesh::tls::{
    Certificate, ClusterTls, DownstreamTls, Private, SanKind, SanMatch, Settings, Source,
    UpstreamTls, Validation, ValidationRules,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

/// A certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What is unusual in a certificate.
#[derive(Default)]
pub(super) struct Odd {
    pub(super) expired: bool,
    pub(super) authority: bool,
    pub(super) second_uri: Option<&'static str>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(super) fn source(&self) -> Source {
        Source::Text(self.pem.clone())
    }

    pub(super) fn der(&self) -> rustls::pki_types::CertificateDer<'static> {
        use rustls::pki_types::pem::PemObject as _;
        rustls::pki_types::CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }

    /// A certificate for a SPIFFE ID or host name, with its key, in PEM.
    pub(super) fn pem(&self, name: &str, odd: &Odd) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = |it: &str| SanType::URI(it.try_into().unwrap());
        let san = match name.strip_prefix("spiffe:") {
            Some(_) => uri(name),
            None => SanType::DnsName(name.try_into().unwrap()),
        };
        params.subject_alt_names = vec![san];
        params.subject_alt_names.extend(odd.second_uri.map(uri));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if odd.expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        if odd.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(super) fn pair(&self, name: &str) -> Certificate {
        self.odd_pair(name, &Odd::default())
    }

    pub(super) fn odd_pair(&self, name: &str, odd: &Odd) -> Certificate {
        let (chain, key) = self.pem(name, odd);
        Certificate::Pair {
            chain: Source::Text(chain),
            key: Private::new(Source::Text(key)),
        }
    }

    /// Everybody of the trust domain `td`.
    pub(super) fn trust(&self) -> Validation {
        self.trust_in("spiffe://td/")
    }

    pub(super) fn trust_in(&self, prefix: &str) -> Validation {
        Validation {
            rules: ValidationRules {
                trusted_ca: Some(self.source()),
                names: vec![SanMatch {
                    kind: SanKind::Uri,
                    value: StringMatch::Prefix(prefix.to_owned()),
                    ignore_case: false,
                }],
            },
            secret: None,
        }
    }
}

/// A server of the mesh.
pub(super) fn mesh_server(own: Certificate, trust: Validation) -> Arc<DownstreamTls> {
    Arc::new(DownstreamTls {
        settings: Settings {
            alpn: vec!["istio".to_owned(), "h2".to_owned(), "http/1.1".to_owned()],
            ..Settings::default()
        },
        certificates: vec![own],
        validation: Some(trust),
        require_client_certificate: true,
        ..DownstreamTls::default()
    })
}

/// A server of the edge.
pub(super) fn edge_server(certificates: Vec<Certificate>) -> Arc<DownstreamTls> {
    Arc::new(DownstreamTls {
        certificates,
        ..DownstreamTls::default()
    })
}

/// A client of the mesh.
pub(super) fn mesh_client(own: Option<Certificate>, trust: Validation) -> ClusterTls {
    ClusterTls {
        matches: Vec::new(),
        fallback: Some(Arc::new(UpstreamTls {
            settings: Settings {
                alpn: vec!["istio".to_owned()],
                ..Settings::default()
            },
            certificates: own.into_iter().collect(),
            validation: Some(trust),
            server_name: "outbound_.80_._.reviews".to_owned(),
            max_sessions: None,
        })),
    }
}
