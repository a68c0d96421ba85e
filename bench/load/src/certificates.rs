//! Certificates for the scenario with mutual TLS.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::request::HOST;

/// Writes `ca.pem`, `leaf.pem`, `leaf.key` and `leaf-both.pem` (ECDSA on P-256) into `folder`.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = &mut authority.distinguished_name;
    name.push(DnType::CommonName, "bench authority");
    let certificate = authority.self_signed(&key)?;
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec![HOST.to_owned()])?;
    let identity = format!("spiffe://{HOST}/ns/default/sa/bench");
    leaf.subject_alt_names
        .push(SanType::URI(Ia5String::try_from(identity)?));
    leaf.distinguished_name.push(DnType::CommonName, HOST);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let leaf = leaf.signed_by(&key, &issuer)?.pem();
    let key = key.serialize_pem();
    fs::write(folder.join("ca.pem"), certificate.pem())?;
    fs::write(folder.join("leaf.pem"), &leaf)?;
    fs::write(folder.join("leaf.key"), &key)?;
    fs::write(folder.join("leaf-both.pem"), leaf + &key)?;
    Ok(())
}
