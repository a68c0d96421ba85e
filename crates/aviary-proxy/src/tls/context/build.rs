//! From the model and PEM to what rustls takes.

use std::net::SocketAddr;
use std::sync::Arc;

use aviary_mesh::tls::{
    CipherSuite, DownstreamTls, Group, SanMatch, Settings, UpstreamTls, Validation, Version,
};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
    danger::ClientCertVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, version,
};

use super::super::material::Material;
use super::super::peer;
use super::super::verify::{Judge, OfClients, OfServers};

/// Sessions that are kept for resumption per cluster when the configuration does not say.
const SESSIONS: u32 = 32;

/// Stands for the server when none is named; never sent, as addresses are not.
const NAMELESS: &str = "0.0.0.0";

pub(super) fn tickets() -> Result<Arc<dyn ProducesTickets>, String> {
    Ticketer::new().map_err(|error| error.to_string())
}

pub(super) fn server(
    tls: &DownstreamTls,
    material: &Material,
    tickets: Option<Arc<dyn ProducesTickets>>,
) -> Result<(ServerConfig, Option<Arc<str>>), String> {
    let provider = provider(&tls.settings);
    let keys = certified(material, &provider)?;
    let own_uri = keys.first().and_then(|it| it.uri.clone());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(&tls.settings))
        .map_err(|error| error.to_string())?;
    let builder = match &tls.validation {
        None => builder.with_no_client_auth(),
        Some(validation) => builder.with_client_cert_verifier(Arc::new(of_clients(
            validation,
            material,
            &provider,
            tls.require_client_certificate,
        )?)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
    config.alpn_protocols = alpn(&tls.settings);
    match tickets {
        Some(tickets) => config.ticketer = tickets,
        None => config.send_tls13_tickets = 0,
    }
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    // One is enough for clients that keep one; rustls' default of two costs bytes and time.
    config.send_tls13_tickets = config.send_tls13_tickets.min(1);
    Ok((config, own_uri))
}

pub(super) fn client(
    tls: &UpstreamTls,
    material: &Material,
) -> Result<(ClientConfig, Option<Arc<str>>), String> {
    let provider = provider(&tls.settings);
    let mut judge = Judge {
        roots: None,
        names: Vec::new(),
        algorithms: provider.signature_verification_algorithms,
    };
    if let Some(validation) = &tls.validation {
        judge.roots = roots(material)?;
        judge.names = names(validation, material);
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(&tls.settings))
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfServers(judge)));
    let own = certified(material, &provider)?.pop();
    let own_uri = own.as_ref().and_then(|own| own.uri.clone());
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key))),
    };
    config.alpn_protocols = alpn(&tls.settings);
    // Set for each connection, by its endpoint.
    config.resumption = Resumption::disabled();
    Ok((config, own_uri))
}

/// Sessions with the endpoints of a cluster.
pub(super) type Sessions = ClientSessionMemoryCache;

pub(super) fn sessions(tls: &UpstreamTls) -> Option<Arc<Sessions>> {
    match tls.max_sessions.unwrap_or(SESSIONS) {
        0 => None,
        count => Some(Arc::new(Sessions::new(count as usize))),
    }
}

/// What a connection to one endpoint resumes: all endpoints of a cluster have the same server name,
/// but a session goes on only where it began.
pub(super) fn resumption(sessions: &Arc<Sessions>, endpoint: SocketAddr) -> Resumption {
    let name = format!("{}-{}", endpoint.ip(), endpoint.port()).replace([':', '%'], "-");
    match ServerName::try_from(name) {
        Ok(name) => Resumption::store(Arc::new(AtEndpoint {
            name,
            sessions: Arc::clone(sessions),
        })),
        Err(_) => Resumption::disabled(),
    }
}

#[derive(Debug)]
struct AtEndpoint {
    name: ServerName<'static>,
    sessions: Arc<Sessions>,
}

impl ClientSessionStore for AtEndpoint {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(self.name.clone(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(&self.name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions.set_tls12_session(self.name.clone(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(&self.name)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.sessions.remove_tls12_session(&self.name);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.insert_tls13_ticket(self.name.clone(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(&self.name)
    }
}

pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let name = if name.is_empty() { NAMELESS } else { name };
    ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no server name"))
}

fn alpn(settings: &Settings) -> Vec<Vec<u8>> {
    settings.alpn.iter().map(|it| it.clone().into()).collect()
}

fn versions(settings: &Settings) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let lowest = settings.min_version.unwrap_or(Version::Tls12);
    let highest = settings.max_version.unwrap_or(Version::Tls13);
    let both = [
        (Version::Tls13, &version::TLS13),
        (Version::Tls12, &version::TLS12),
    ];
    let wanted = both
        .into_iter()
        .filter(|(it, _)| (lowest..=highest).contains(it));
    wanted.map(|(_, version)| version).collect()
}

fn provider(settings: &Settings) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if !settings.cipher_suites.is_empty() {
        let of_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        provider.cipher_suites.retain(of_13);
        let wanted = settings.cipher_suites.iter().map(|it| suite(*it));
        provider.cipher_suites.extend(wanted);
    }
    if !settings.groups.is_empty() {
        provider.kx_groups = settings.groups.iter().map(|it| group(*it)).collect();
    }
    Arc::new(provider)
}

fn suite(suite: CipherSuite) -> SupportedCipherSuite {
    match suite {
        CipherSuite::EcdheEcdsaAes128Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes128Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaAes256Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20 => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        CipherSuite::EcdheRsaChacha20 => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn group(group: Group) -> &'static dyn SupportedKxGroup {
    match group {
        Group::X25519 => kx_group::X25519,
        Group::P256 => kx_group::SECP256R1,
        Group::P384 => kx_group::SECP384R1,
        Group::X25519MlKem768 => kx_group::X25519MLKEM768,
    }
}

fn names(validation: &Validation, material: &Material) -> Vec<SanMatch> {
    let here = validation.rules.names.iter();
    here.chain(&material.names).cloned().collect()
}

fn roots(material: &Material) -> Result<Option<Arc<RootCertStore>>, String> {
    let Some(pem) = &material.trusted_ca else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("trusted_ca: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("trusted_ca: {error}"))?;
    }
    if roots.is_empty() {
        return Err("trusted_ca: there is no certificate in it".to_owned());
    }
    Ok(Some(Arc::new(roots)))
}

fn of_clients(
    validation: &Validation,
    material: &Material,
    provider: &Arc<CryptoProvider>,
    required: bool,
) -> Result<OfClients, String> {
    let chain = |roots| -> Result<Arc<dyn ClientCertVerifier>, String> {
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| format!("trusted_ca: {error}"))
    };
    Ok(OfClients {
        chain: roots(material)?.map(chain).transpose()?,
        judge: Judge {
            roots: None,
            names: names(validation, material),
            algorithms: provider.signature_verification_algorithms,
        },
        required,
    })
}

/// An own certificate with what it is for.
#[derive(Debug)]
struct Own {
    key: CertifiedKey,
    dns: Vec<String>,
    uri: Option<Arc<str>>,
}

fn certified(material: &Material, provider: &CryptoProvider) -> Result<Vec<Own>, String> {
    let one = |(number, (chain, key)): (usize, &(Vec<u8>, Vec<u8>))| {
        own(chain, key, provider).map_err(|reason| format!("certificate {number}: {reason}"))
    };
    material.certificates.iter().enumerate().map(one).collect()
}

fn own(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Own, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let leaf = chain.first().ok_or("there is no certificate in it")?;
    let subject = peer::subject(leaf).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("its key: {error}"))?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| format!("its key: {error}"))?;
    let (mut dns, mut uris) = (subject.dns, subject.uris);
    for name in &mut dns {
        name.make_ascii_lowercase();
    }
    Ok(Own {
        key,
        dns,
        uri: (!uris.is_empty()).then(|| uris.swap_remove(0).into()),
    })
}

/// Chooses the own certificate by the server name: one with that name, else one whose wildcard
/// holds it, else the first; among several the first whose key the client can use.
///
/// Source: Envoy's default TLS certificate selector.
#[derive(Debug)]
struct ByName(Vec<Own>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = |own: &&Own| own.key.key.choose_scheme(schemes).is_some();
        let holding = |name: &str| {
            let fitting = self
                .0
                .iter()
                .filter(|own| own.dns.iter().any(|it| it == name));
            fitting.clone().find(usable)
        };
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            holding(&name).or_else(|| holding(&format!("*.{}", name.split_once('.')?.1)))
        });
        let own = named.or_else(|| self.0.iter().find(usable))?;
        Some(Arc::new(own.key.clone()))
    }
}
