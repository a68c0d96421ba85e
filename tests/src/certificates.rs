//! Certificates that live as long as a test.

use std::path::PathBuf;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};

use crate::standalone::free_address;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Its certificate cannot be made or written.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        // No other test has the address.
        let file = std::env::temp_dir().join(format!("aviary-ca-{}.pem", free_address()?));
        std::fs::write(&file, &pem)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
            file,
        })
    }

    /// Its own certificate, in PEM, as a file that is gone with this value.
    pub fn file(&self) -> &PathBuf {
        &self.file
    }

    /// A TLS context's certificate and key for a host name or a SPIFFE ID.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn certificate(&self, name: &str) -> Result<Value> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        // A certificate named as its issuer passes for one that signed itself.
        params.distinguished_name = named("holder");
        params.subject_alt_names = vec![if name.starts_with("spiffe:") {
            SanType::URI(name.try_into()?)
        } else {
            SanType::DnsName(name.try_into()?)
        }];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(json!({
            "certificate_chain": {"inline_string": certificate.pem()},
            "private_key": {"inline_string": key.serialize_pem()},
        }))
    }

    /// The context of either side of mutual TLS: who it is, and that it trusts everybody of `td`.
    ///
    /// # Errors
    /// As [`Self::certificate`].
    pub fn mesh(&self, name: &str, protocols: &[&str]) -> Result<Value> {
        Ok(json!({
            "tls_certificates": [self.certificate(&format!("spiffe://td/ns/default/sa/{name}"))?],
            "alpn_protocols": protocols,
            "validation_context": {
                "trusted_ca": {"inline_string": self.pem},
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"prefix": "spiffe://td/"}},
                ],
            },
        }))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
