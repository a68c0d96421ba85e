//! Encryption of connections: what a listener offers, what a cluster asks for, and the secrets that
//! both name.
//!
//! Private keys never leave a process in text: their [`std::fmt::Debug`] and serialized forms say
//! `[redacted]`.

mod identity;
mod secret;

pub use identity::{Identity, SanKind, SanMatch, Subject, misdirected};
pub use secret::{Certificate, Private, Secret, SecretKind, Source};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a listener's chain speaks TLS with.
///
/// Source: Envoy `DownstreamTlsContext`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownstreamTls {
    /// Versions, suites, application protocols.
    pub settings: Settings,
    /// Own certificates; the first is used when the server name fits none.
    pub certificates: Vec<Certificate>,
    /// How clients' certificates are judged. Clients are asked for one when this is set.
    pub validation: Option<Validation>,
    /// A client without a certificate is refused.
    pub require_client_certificate: bool,
    /// A client that names no server is refused.
    pub require_server_name: bool,
    /// Sessions are not resumed.
    pub no_resumption: bool,
}

/// What connections to a cluster speak TLS with.
///
/// Source: Envoy `UpstreamTlsContext`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTls {
    /// Versions, suites, application protocols.
    pub settings: Settings,
    /// Own certificate, when the endpoint asks for one. At most one.
    pub certificates: Vec<Certificate>,
    /// How the endpoint's certificate is judged; `None` accepts any, as Envoy does.
    pub validation: Option<Validation>,
    /// Server name sent; empty sends none.
    pub server_name: String,
    /// Sessions kept for resumption; `None` is one per endpoint and worker (Envoy's 1), 0 none.
    pub max_sessions: Option<u32>,
}

/// Which TLS is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Lowest version; `None` is 1.2.
    pub min_version: Option<Version>,
    /// Highest version; `None` is 1.3.
    pub max_version: Option<Version>,
    /// Suites of TLS 1.2 by OpenSSL's names, preferred ones first; empty is every strong one. Those
    /// of TLS 1.3 cannot be chosen.
    pub cipher_suites: Vec<CipherSuite>,
    /// Key exchange groups, preferred ones first; empty is every strong one.
    pub groups: Vec<Group>,
    /// Application protocols (ALPN), preferred ones first.
    pub alpn: Vec<String>,
}

/// A version of TLS. Older ones are not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A suite of TLS 1.2. All have forward secrecy and authenticated encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CipherSuite {
    EcdheEcdsaAes128Gcm,
    EcdheRsaAes128Gcm,
    EcdheEcdsaAes256Gcm,
    EcdheRsaAes256Gcm,
    EcdheEcdsaChacha20,
    EcdheRsaChacha20,
}

impl CipherSuite {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::EcdheEcdsaAes128Gcm,
        Self::EcdheRsaAes128Gcm,
        Self::EcdheEcdsaAes256Gcm,
        Self::EcdheRsaAes256Gcm,
        Self::EcdheEcdsaChacha20,
        Self::EcdheRsaChacha20,
    ];

    /// OpenSSL's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdheEcdsaAes128Gcm => "ECDHE-ECDSA-AES128-GCM-SHA256",
            Self::EcdheRsaAes128Gcm => "ECDHE-RSA-AES128-GCM-SHA256",
            Self::EcdheEcdsaAes256Gcm => "ECDHE-ECDSA-AES256-GCM-SHA384",
            Self::EcdheRsaAes256Gcm => "ECDHE-RSA-AES256-GCM-SHA384",
            Self::EcdheEcdsaChacha20 => "ECDHE-ECDSA-CHACHA20-POLY1305",
            Self::EcdheRsaChacha20 => "ECDHE-RSA-CHACHA20-POLY1305",
        }
    }
}

/// A key exchange group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Group {
    X25519,
    P256,
    P384,
    X25519MlKem768,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::X25519, Self::P256, Self::P384, Self::X25519MlKem768];

    /// The name that Envoy knows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "X25519",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::X25519MlKem768 => "X25519MLKEM768",
        }
    }
}

/// How the other side's certificate is judged.
///
/// Source: Envoy `CertificateValidationContext` and where it may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validation {
    /// What is said in place.
    pub rules: ValidationRules,
    /// Name of the secret with the certificate authorities; its rules are used in addition.
    pub secret: Option<String>,
}

/// The rules of a [`Validation`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValidationRules {
    /// Certificate authorities in PEM; without them (and without a secret) any certificate is
    /// accepted that its owner can prove.
    pub trusted_ca: Option<Source>,
    /// One of these alternative names must be in the certificate; empty asks for none.
    pub names: Vec<SanMatch>,
}

/// TLS of a cluster's endpoints, by what they are marked with.
///
/// Source: Envoy `transport_socket_matches`, in the two forms that Istio makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsMatch {
    /// Name, for statistics.
    pub name: String,
    /// Only endpoints that speak the mesh's TLS (`tlsMode: istio`); otherwise every endpoint.
    pub mesh: bool,
    /// What is spoken; `None` is plain text.
    pub tls: Option<Arc<UpstreamTls>>,
}

/// TLS of a whole cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterTls {
    /// Tried in order.
    pub matches: Vec<TlsMatch>,
    /// For endpoints that match none; `None` is plain text.
    pub fallback: Option<Arc<UpstreamTls>>,
}

impl ClusterTls {
    /// Whether no endpoint is spoken TLS with.
    pub fn is_plain(&self) -> bool {
        self.all().next().is_none()
    }

    /// What is spoken with an endpoint; `None` is plain text.
    pub fn of(&self, endpoint_speaks_mesh_tls: bool) -> Option<&Arc<UpstreamTls>> {
        self.matches
            .iter()
            .find(|it| !it.mesh || endpoint_speaks_mesh_tls)
            .map_or(self.fallback.as_ref(), |it| it.tls.as_ref())
    }

    /// Everything that may be spoken.
    pub fn all(&self) -> impl Iterator<Item = &Arc<UpstreamTls>> {
        let matches = self.matches.iter().filter_map(|it| it.tls.as_ref());
        matches.chain(&self.fallback)
    }
}

/// Secrets by name.
pub type Secrets = BTreeMap<String, Arc<Secret>>;

fn secrets_of<'a>(
    certificates: &'a [Certificate],
    validation: Option<&'a Validation>,
) -> impl Iterator<Item = &'a str> {
    let own = certificates.iter().filter_map(Certificate::secret);
    own.chain(validation.and_then(|it| it.secret.as_deref()))
}

impl DownstreamTls {
    /// Names of the secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        secrets_of(&self.certificates, self.validation.as_ref())
    }
}

impl UpstreamTls {
    /// Names of the secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        secrets_of(&self.certificates, self.validation.as_ref())
    }
}

#[cfg(test)]
mod tests;
