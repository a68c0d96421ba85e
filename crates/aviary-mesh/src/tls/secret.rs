//! Certificates and keys, and where they are.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::ValidationRules;

/// Where bytes come from.
///
/// Source: Envoy `core.v3.DataSource`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A file, read again when it changes.
    File(String),
    /// Text in place.
    Text(String),
    /// Bytes in place.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// A source that nobody may see: a private key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Private(Source);

impl Private {
    /// Hides a source.
    pub fn new(source: Source) -> Self {
        Self(source)
    }

    /// Shows it, to whoever uses it.
    pub fn reveal(&self) -> &Source {
        &self.0
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => write!(f, "File({path:?})"),
            Source::Text(_) | Source::Bytes(_) => f.write_str("[redacted]"),
        }
    }
}

impl Serialize for Private {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Source::File(_) => self.0.serialize(serializer),
            Source::Text(_) | Source::Bytes(_) => {
                Source::Text("[redacted]".to_owned()).serialize(serializer)
            }
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Certificate {
    /// Here.
    #[serde(rename_all = "camelCase")]
    Pair {
        /// The chain in PEM, the leaf first.
        chain: Source,
        /// The leaf's private key in PEM.
        key: Private,
    },
    /// In the secret of that name.
    Secret(String),
}

impl Certificate {
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::Pair { .. } => None,
            Self::Secret(name) => Some(name),
        }
    }
}

/// A named secret (SDS).
///
/// Source: Envoy `tls.v3.Secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Resource name, e.g. `default`, `ROOTCA`, `kubernetes://shop-cert`.
    pub name: String,
    /// What it holds.
    pub kind: SecretKind,
}

/// What a secret holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretKind {
    /// A certificate with its key.
    #[serde(rename_all = "camelCase")]
    Certificate {
        /// The chain in PEM, the leaf first.
        chain: Source,
        /// The leaf's private key in PEM.
        key: Private,
    },
    /// What other sides' certificates are judged by.
    Validation(ValidationRules),
    /// Any bytes.
    Generic(Private),
}
