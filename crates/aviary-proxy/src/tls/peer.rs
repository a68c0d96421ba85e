//! Who is at the other end of an encrypted connection.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use aviary_mesh::tls::Subject;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Identities that a thread remembers at most.
const MET_LIMIT: usize = 1024;

thread_local! {
    static MET: RefCell<HashSet<Arc<str>>> = RefCell::default();
}

/// What the handshake said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// The server that the client wanted, in lower case.
    pub(crate) server_name: Option<Arc<str>>,
    /// What its certificate says; `None` when it presented none.
    pub(crate) subject: Option<Box<Subject>>,
    /// SHA-256 of its certificate.
    pub(crate) digest: Option<[u8; 32]>,
    /// The workload's SPIFFE ID; `None` when it presented no certificate, or one without. The same
    /// identity has the same address on all connections of a thread.
    pub(crate) identity: Option<Arc<str>>,
    /// The URI in the own certificate.
    pub(crate) own: Option<Arc<str>>,
    /// Version of the protocol, as Envoy writes it.
    pub(crate) version: &'static str,
    /// Cipher suite, as Envoy writes it.
    pub(crate) cipher: &'static str,
    /// Both sides agreed on HTTP/2.
    pub(crate) agreed_http2: bool,
}

/// The identity in a certificate, at the address that it has on this thread.
pub(super) fn identity(subject: &Subject) -> Option<Arc<str>> {
    let identity = subject.identity()?.text;
    let met = MET.with_borrow_mut(|met| {
        if let Some(known) = met.get(identity) {
            return Arc::clone(known);
        }
        if met.len() >= MET_LIMIT {
            // Those that are in use come back at once.
            met.clear();
        }
        let new: Arc<str> = identity.into();
        met.insert(Arc::clone(&new));
        new
    });
    Some(met)
}

/// Source: Envoy `%DOWNSTREAM_TLS_VERSION%`.
pub(super) fn version_text(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}

/// Source: the names of OpenSSL, which Envoy writes.
pub(super) fn cipher_text(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// What a certificate says of its owner.
///
/// # Errors
/// When it is malformed, or a name in it holds bytes that names do not have (a NUL above all).
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Result<Subject, rustls::Error> {
    let malformed = rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| malformed.clone())?;
    let validity = parsed.validity();
    let mut subject = Subject {
        name: distinguished_name(&parsed),
        valid: (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ),
        ..Subject::default()
    };
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => subject.is_authority = constraints.ca,
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    add(&mut subject, name).ok_or_else(|| malformed.clone())?;
                }
            }
            // A part that cannot be read may hide a name.
            ParsedExtension::ParseError { .. } => return Err(malformed),
            _ => {}
        }
    }
    Ok(subject)
}

/// SHA-256 of a certificate.
pub(super) fn digest(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Adds an alternative name; `None` when it is malformed.
fn add(subject: &mut Subject, name: &GeneralName<'_>) -> Option<()> {
    let text = |name: &str| {
        let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| name.to_owned())
    };
    match name {
        GeneralName::URI(name) => subject.uris.push(text(name)?),
        GeneralName::DNSName(name) => subject.dns.push(text(name)?),
        GeneralName::RFC822Name(name) => subject.emails.push(text(name)?),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
                16 => <[u8; 16]>::try_from(*bytes)
                    .ok()
                    .map(std::net::IpAddr::from),
                _ => None,
            };
            subject.ips.push(address?.to_string());
        }
        GeneralName::Invalid(..) => return None,
        _ => {}
    }
    Some(())
}

/// As RFC 2253 writes it: the most specific part first.
fn distinguished_name(certificate: &X509Certificate<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let mut parts = Vec::new();
    for part in certificate.subject().iter_rdn() {
        let attributes: Vec<_> = part
            .iter()
            .map(|attribute| {
                let oid = attribute.attr_type();
                let name = match x509_parser::objects::oid2abbrev(oid, registry) {
                    Ok(name) => name.to_owned(),
                    Err(_) => oid.to_id_string(),
                };
                format!("{name}={}", escaped(attribute.as_str().unwrap_or_default()))
            })
            .collect();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

/// Source: RFC 2253 §2.4.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, character) in value.char_indices() {
        let at_edge = at == 0 || at + character.len_utf8() == value.len();
        if ",+\"\\<>;".contains(character)
            || (character == ' ' && at_edge)
            || (character == '#' && at == 0)
        {
            out.push('\\');
        }
        if !character.is_control() {
            out.push(character);
        }
    }
    out
}
