//! The server's own certificate authority, its certificate and its bearer tokens, as files.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};

/// Why the keys could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {reason}; remove the folder to have new keys made")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS configuration was refused.
    #[error("cannot use the server certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// Bearer tokens by role; `tokens.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// Token of the administrator, group `system:masters`.
    pub admin: String,
    /// Token of the node agent, group `system:nodes`.
    pub node: String,
}

/// The keys of one server.
pub struct Pki {
    folder: PathBuf,
    /// The authority's certificate, PEM.
    pub ca_pem: String,
    /// The bearer tokens.
    pub tokens: Tokens,
}

impl Pki {
    /// Reads the keys in a folder, or makes them there (folder 0700, files 0600).
    ///
    /// # Errors
    /// [`Error`] names the file that cannot be used.
    pub fn open(folder: &Path, service_ip: IpAddr) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(file_error(folder))?;
        let names = ["ca.crt", "ca.key", "server.crt", "server.key"];
        if !names.iter().all(|name| folder.join(name).exists()) {
            make_certificates(folder, service_ip)?;
        }
        let tokens_path = folder.join("tokens.json");
        if !tokens_path.exists() {
            let tokens = Tokens {
                admin: random_token(),
                node: random_token(),
            };
            let text = serde_json::to_string(&tokens).map_err(|error| Error::Content {
                path: tokens_path.clone(),
                reason: error.to_string(),
            })?;
            write_secret(&tokens_path, &text)?;
        }
        let text = read(&tokens_path)?;
        let tokens = serde_json::from_str(&text).map_err(|error| Error::Content {
            path: tokens_path,
            reason: error.to_string(),
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            ca_pem: read(&folder.join("ca.crt"))?,
            tokens,
        })
    }

    /// TLS of the server: its certificate, ALPN h2 and http/1.1, no client certificates.
    ///
    /// # Errors
    /// [`Error`] if the files are no longer usable.
    pub fn tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        let (cert, key) = (
            self.folder.join("server.crt"),
            self.folder.join("server.key"),
        );
        let content = |path: &Path| {
            let path = path.to_owned();
            move |error: rustls_pki_types::pem::Error| Error::Content {
                path,
                reason: error.to_string(),
            }
        };
        let chain = CertificateDer::pem_file_iter(&cert)
            .map_err(content(&cert))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(content(&cert))?;
        let private = PrivateKeyDer::from_pem_file(&key).map_err(content(&key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The text of a kubeconfig for the administrator.
    pub fn kubeconfig(&self, server: &str) -> String {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: aviary\nclusters:\n- name: aviary\n  \
             cluster:\n    server: {server}\n    certificate-authority-data: {ca}\nusers:\n- name: \
             aviary-admin\n  user:\n    token: {token}\ncontexts:\n- name: aviary\n  context:\n    \
             cluster: aviary\n    user: aviary-admin\n    namespace: default\n",
            token = self.tokens.admin
        )
    }
}

fn make_certificates(folder: &Path, service_ip: IpAddr) -> Result<(), Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "aviary-ca");
    ca.not_before = rcgen::date_time_ymd(2024, 1, 1);
    ca.not_after = rcgen::date_time_ymd(2049, 1, 1);
    let ca_cert = ca.self_signed(&ca_key)?;
    let names = [
        "localhost",
        "127.0.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.push(service_ip.to_string());
    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "aviary-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.not_before = rcgen::date_time_ymd(2024, 1, 1);
    server.not_after = rcgen::date_time_ymd(2049, 1, 1);
    let issuer = Issuer::from_params(&ca, &ca_key);
    let server_cert = server.signed_by(&server_key, &issuer)?;
    write_secret(&folder.join("ca.crt"), &ca_cert.pem())?;
    write_secret(&folder.join("ca.key"), &ca_key.serialize_pem())?;
    write_secret(&folder.join("server.crt"), &server_cert.pem())?;
    write_secret(&folder.join("server.key"), &server_key.serialize_pem())
}

fn random_token() -> String {
    use std::fmt::Write as _;
    let bytes: [u8; 32] = rand::random();
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(file_error(path))
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(file_error(&draft))?;
    file.write_all(text.as_bytes())
        .map_err(file_error(&draft))?;
    file.sync_all().map_err(file_error(&draft))?;
    fs::rename(&draft, path).map_err(file_error(path))
}
