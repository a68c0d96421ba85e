//! What both sides of TLS have: versions, certificates, validation.

use aviary_mesh::tls::{
    Certificate, CipherSuite, Group, SanKind, SanMatch, Settings, Validation, ValidationRules,
    Version,
};
use envoy_types::pb::envoy::config::core::v3::{
    ConfigSource, config_source::ConfigSourceSpecifier,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    TlsCertificate, TlsParameters, subject_alt_name_matcher::SanType, tls_parameters::TlsProtocol,
};

use super::super::matches::{string_matcher, text_of};
use super::super::{Fault, ads_source, each};
use super::secret;

/// The parts that both contexts share.
pub(super) struct Credentials {
    pub(super) settings: Settings,
    pub(super) certificates: Vec<Certificate>,
    pub(super) validation: Option<Validation>,
}

pub(super) fn to_proto(
    settings: &Settings,
    certificates: &[Certificate],
    validation: Option<&Validation>,
) -> CommonTlsContext {
    let params = TlsParameters {
        tls_minimum_protocol_version: version(settings.min_version),
        tls_maximum_protocol_version: version(settings.max_version),
        cipher_suites: names(&settings.cipher_suites, CipherSuite::name),
        ecdh_curves: names(&settings.groups, Group::name),
        ..TlsParameters::default()
    };
    let mut common = CommonTlsContext {
        tls_params: (params != TlsParameters::default()).then_some(params),
        alpn_protocols: settings.alpn.clone(),
        validation_context_type: validation.map(validation_to_proto),
        ..CommonTlsContext::default()
    };
    for certificate in certificates {
        match certificate {
            Certificate::Pair { chain, key } => {
                common.tls_certificates.push(secret::pair(chain, key));
            }
            Certificate::Secret(name) => common.tls_certificate_sds_secret_configs.push(sds(name)),
        }
    }
    common
}

fn names<T: Copy>(values: &[T], name: impl Fn(T) -> &'static str) -> Vec<String> {
    values.iter().map(|it| name(*it).to_owned()).collect()
}

fn version(version: Option<Version>) -> i32 {
    match version {
        None => TlsProtocol::TlsAuto,
        Some(Version::Tls12) => TlsProtocol::TlSv12,
        Some(Version::Tls13) => TlsProtocol::TlSv13,
    }
    .into()
}

fn sds(name: &str) -> SdsSecretConfig {
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ads_source()),
    }
}

fn validation_to_proto(validation: &Validation) -> ValidationContextType {
    let rules = rules_to_proto(&validation.rules);
    match &validation.secret {
        None => ValidationContextType::ValidationContext(rules),
        Some(name) if rules == CertificateValidationContext::default() => {
            ValidationContextType::ValidationContextSdsSecretConfig(sds(name))
        }
        Some(name) => {
            ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(rules),
                validation_context_sds_secret_config: Some(sds(name)),
                ..CombinedCertificateValidationContext::default()
            })
        }
    }
}

pub(super) fn rules_to_proto(rules: &ValidationRules) -> CertificateValidationContext {
    let san = |it: &SanMatch| SubjectAltNameMatcher {
        san_type: match it.kind {
            SanKind::Dns => SanType::Dns,
            SanKind::Uri => SanType::Uri,
            SanKind::Ip => SanType::IpAddress,
            SanKind::Email => SanType::Email,
        }
        .into(),
        matcher: Some(string_matcher(&it.value, it.ignore_case)),
        ..SubjectAltNameMatcher::default()
    };
    CertificateValidationContext {
        trusted_ca: rules.trusted_ca.as_ref().map(secret::data_source),
        match_typed_subject_alt_names: rules.names.iter().map(san).collect(),
        ..CertificateValidationContext::default()
    }
}

/// Writes what can be said in several ways in the one that [`to_proto`] uses.
pub(super) fn simplify(common: &mut CommonTlsContext) {
    use ValidationContextType as Type;
    if common.tls_params == Some(TlsParameters::default()) {
        common.tls_params = None;
    }
    for config in &mut common.tls_certificate_sds_secret_configs {
        simplify_sds(config);
    }
    common.validation_context_type = match common.validation_context_type.take() {
        Some(Type::ValidationContext(rules))
            if rules == CertificateValidationContext::default() =>
        {
            None
        }
        Some(Type::ValidationContextSdsSecretConfig(mut config)) => {
            simplify_sds(&mut config);
            Some(Type::ValidationContextSdsSecretConfig(config))
        }
        Some(Type::CombinedValidationContext(mut combined)) => {
            if let Some(config) = &mut combined.validation_context_sds_secret_config {
                simplify_sds(config);
            }
            let bare = combined
                .default_validation_context
                .as_ref()
                .is_none_or(|it| *it == CertificateValidationContext::default());
            match combined
                .validation_context_sds_secret_config
                .take_if(|_| bare)
            {
                Some(config) => Some(Type::ValidationContextSdsSecretConfig(config)),
                None => Some(Type::CombinedValidationContext(combined)),
            }
        }
        other => other,
    };
}

/// A secret without a source is a static one; both are found by name.
fn simplify_sds(config: &mut SdsSecretConfig) {
    let known = |source: &ConfigSource| {
        matches!(
            source.config_source_specifier,
            Some(ConfigSourceSpecifier::Ads(_))
        ) && source.initial_fetch_timeout.is_none()
    };
    if config.sds_config.as_ref().is_none_or(known) {
        config.sds_config = Some(ads_source());
    }
}

pub(super) fn from_proto(proto: &CommonTlsContext) -> Result<Credentials, Fault> {
    let params = proto.tls_params.clone().unwrap_or_default();
    let settings = settings_of(&params, proto).map_err(|fault| fault.at("tls_params"))?;
    let pair = |proto: &TlsCertificate| {
        secret::pair_of(proto).map(|(chain, key)| Certificate::Pair { chain, key })
    };
    let named = |proto: &SdsSecretConfig| name_of(proto).map(Certificate::Secret);
    let mut certificates = each("tls_certificates", &proto.tls_certificates, pair)?;
    certificates.extend(each(
        "tls_certificate_sds_secret_configs",
        &proto.tls_certificate_sds_secret_configs,
        named,
    )?);
    Ok(Credentials {
        settings,
        certificates,
        validation: proto
            .validation_context_type
            .as_ref()
            .map(validation_of)
            .transpose()?,
    })
}

fn settings_of(params: &TlsParameters, proto: &CommonTlsContext) -> Result<Settings, Fault> {
    let min_version = version_of(params.tls_minimum_protocol_version)
        .map_err(|fault| fault.at("tls_minimum_protocol_version"))?;
    let max_version = version_of(params.tls_maximum_protocol_version)
        .map_err(|fault| fault.at("tls_maximum_protocol_version"))?;
    if min_version > max_version && max_version.is_some() {
        let fault = Fault::new("is above the maximum");
        return Err(fault.at("tls_minimum_protocol_version"));
    }
    Ok(Settings {
        min_version,
        max_version,
        cipher_suites: each("cipher_suites", &params.cipher_suites, |name| {
            one_of(&CipherSuite::ALL, CipherSuite::name, name)
        })?,
        groups: each("ecdh_curves", &params.ecdh_curves, |name| {
            one_of(&Group::ALL, Group::name, name)
        })?,
        alpn: proto.alpn_protocols.clone(),
    })
}

fn version_of(value: i32) -> Result<Option<Version>, Fault> {
    match TlsProtocol::try_from(value) {
        Ok(TlsProtocol::TlsAuto) => Ok(None),
        Ok(TlsProtocol::TlSv12) => Ok(Some(Version::Tls12)),
        Ok(TlsProtocol::TlSv13) => Ok(Some(Version::Tls13)),
        _ => Err(Fault::new("TLS before 1.2 is not spoken; use TLSv1_2")),
    }
}

fn one_of<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, wanted: &str) -> Result<T, Fault> {
    let found = all.iter().copied().find(|it| name(*it) == wanted);
    found.ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|it| name(*it)).collect();
        Fault::new(format!("`{wanted}` is not one of {}", known.join(", ")))
    })
}

fn name_of(proto: &SdsSecretConfig) -> Result<String, Fault> {
    if proto.sds_config != Some(ads_source()) {
        let fault = Fault::new("secrets come over ADS or from static_resources; use `ads: {}`");
        return Err(fault.at("sds_config"));
    }
    if proto.name.is_empty() {
        return Err(Fault::new("is missing").at("name"));
    }
    Ok(proto.name.clone())
}

fn validation_of(proto: &ValidationContextType) -> Result<Validation, Fault> {
    match proto {
        ValidationContextType::ValidationContext(rules) => Ok(Validation {
            rules: rules_of(rules).map_err(|fault| fault.at("validation_context"))?,
            secret: None,
        }),
        ValidationContextType::ValidationContextSdsSecretConfig(config) => Ok(Validation {
            rules: ValidationRules::default(),
            secret: Some(
                name_of(config)
                    .map_err(|fault| fault.at("validation_context_sds_secret_config"))?,
            ),
        }),
        ValidationContextType::CombinedValidationContext(combined) => {
            combined_of(combined).map_err(|fault| fault.at("combined_validation_context"))
        }
        _ => Err(Fault::new("certificate providers are not supported").at("validation_context")),
    }
}

fn combined_of(proto: &CombinedCertificateValidationContext) -> Result<Validation, Fault> {
    let rules = proto.default_validation_context.as_ref();
    let config = proto.validation_context_sds_secret_config.as_ref();
    let config = config.ok_or_else(|| Fault::new("is missing"));
    Ok(Validation {
        rules: rules
            .map_or_else(|| Ok(ValidationRules::default()), rules_of)
            .map_err(|fault| fault.at("default_validation_context"))?,
        secret: Some(
            config
                .and_then(name_of)
                .map_err(|fault| fault.at("validation_context_sds_secret_config"))?,
        ),
    })
}

pub(super) fn rules_of(proto: &CertificateValidationContext) -> Result<ValidationRules, Fault> {
    let san = |proto: &SubjectAltNameMatcher| {
        let matcher = proto.matcher.as_ref();
        let matcher = matcher.ok_or_else(|| Fault::new("is missing").at("matcher"))?;
        Ok(SanMatch {
            kind: match SanType::try_from(proto.san_type) {
                Ok(SanType::Dns) => SanKind::Dns,
                Ok(SanType::Uri) => SanKind::Uri,
                Ok(SanType::IpAddress) => SanKind::Ip,
                Ok(SanType::Email) => SanKind::Email,
                _ => return Err(Fault::new("use DNS, URI, IP_ADDRESS or EMAIL").at("san_type")),
            },
            value: text_of(matcher.clone())
                .map_err(|fault| fault.at("matcher"))?
                .is,
            ignore_case: matcher.ignore_case,
        })
    };
    let trusted_ca = proto.trusted_ca.as_ref().map(secret::source_of).transpose();
    Ok(ValidationRules {
        trusted_ca: trusted_ca.map_err(|fault| fault.at("trusted_ca"))?,
        names: each(
            "match_typed_subject_alt_names",
            &proto.match_typed_subject_alt_names,
            san,
        )?,
    })
}
