//! Secrets, and the data that they are made of.

use aviary_mesh::tls::{Private, Secret, SecretKind, Source};
use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    GenericSecret, Secret as ProtoSecret, TlsCertificate, secret::Type,
};

use super::super::Fault;
use super::credentials;

pub(crate) fn to_proto(secret: &Secret) -> ProtoSecret {
    ProtoSecret {
        name: secret.name.clone(),
        r#type: Some(match &secret.kind {
            SecretKind::Certificate { chain, key } => Type::TlsCertificate(pair(chain, key)),
            SecretKind::Validation(rules) => {
                Type::ValidationContext(credentials::rules_to_proto(rules))
            }
            SecretKind::Generic(value) => Type::GenericSecret(GenericSecret {
                secret: Some(data_source(value.reveal())),
                ..GenericSecret::default()
            }),
        }),
    }
}

pub(crate) fn from_proto(proto: &ProtoSecret) -> Result<Secret, Fault> {
    let kind = match &proto.r#type {
        Some(Type::TlsCertificate(pair)) => pair_of(pair)
            .map(|(chain, key)| SecretKind::Certificate { chain, key })
            .map_err(|fault| fault.at("tls_certificate"))?,
        Some(Type::ValidationContext(rules)) => credentials::rules_of(rules)
            .map(SecretKind::Validation)
            .map_err(|fault| fault.at("validation_context"))?,
        Some(Type::GenericSecret(generic)) => {
            let source = generic.secret.as_ref();
            source
                .ok_or_else(|| Fault::new("is missing"))
                .and_then(source_of)
                .map(|source| SecretKind::Generic(Private::new(source)))
                .map_err(|fault| fault.at("generic_secret.secret"))?
        }
        Some(Type::SessionTicketKeys(_)) => {
            let fault = Fault::new("ticket keys are made here; they cannot be given");
            return Err(fault.at("session_ticket_keys"));
        }
        None => return Err(Fault::new("a secret is missing")),
    };
    Ok(Secret {
        name: proto.name.clone(),
        kind,
    })
}

pub(super) fn pair(chain: &Source, key: &Private) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(data_source(chain)),
        private_key: Some(data_source(key.reveal())),
        ..TlsCertificate::default()
    }
}

pub(super) fn pair_of(proto: &TlsCertificate) -> Result<(Source, Private), Fault> {
    let needed = |source: Option<&DataSource>, field: &str| {
        source
            .ok_or_else(|| Fault::new("is missing"))
            .and_then(source_of)
            .map_err(|fault| fault.at(field))
    };
    let chain = needed(proto.certificate_chain.as_ref(), "certificate_chain")?;
    let key = needed(proto.private_key.as_ref(), "private_key")?;
    Ok((chain, Private::new(key)))
}

pub(super) fn data_source(source: &Source) -> DataSource {
    DataSource {
        specifier: Some(match source {
            Source::File(path) => Specifier::Filename(path.clone()),
            Source::Text(text) => Specifier::InlineString(text.clone()),
            Source::Bytes(bytes) => Specifier::InlineBytes(bytes.clone()),
        }),
        ..DataSource::default()
    }
}

pub(super) fn source_of(proto: &DataSource) -> Result<Source, Fault> {
    match &proto.specifier {
        Some(Specifier::Filename(path)) => Ok(Source::File(path.clone())),
        Some(Specifier::InlineString(text)) => Ok(Source::Text(text.clone())),
        Some(Specifier::InlineBytes(bytes)) => Ok(Source::Bytes(bytes.clone())),
        Some(Specifier::EnvironmentVariable(_)) => {
            Err(Fault::new("the environment is not read; use a file").at("environment_variable"))
        }
        None => Err(Fault::new("is empty")),
    }
}
