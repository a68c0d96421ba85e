//! Certificates and keys as bytes: from the configuration, from secrets, from files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aviary_mesh::tls::{Certificate, Private, SecretKind, Secrets, Source, Validation};

/// What tells whether a file changed.
type Stamp = (u64, u64, i64, i64);

/// A file that was read, and how it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadFile {
    path: String,
    stamp: Option<Stamp>,
}

impl ReadFile {
    pub(super) fn changed(&self) -> bool {
        stamp(Path::new(&self.path)) != self.stamp
    }
}

/// Follows links: secrets are mounted as links that are swapped.
fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}

/// Everything that one TLS context is made of, in PEM. Two that are equal make equal contexts.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Material {
    /// Chain and key of each own certificate.
    pub(super) certificates: Vec<(Vec<u8>, Vec<u8>)>,
    /// Certificate authorities.
    pub(super) trusted_ca: Option<Vec<u8>>,
    /// Conditions of the validation's secret, beside those in place.
    pub(super) names: Vec<aviary_mesh::tls::SanMatch>,
}

/// Reads what a context needs.
pub(super) struct Reader<'a> {
    pub(super) secrets: &'a Secrets,
    /// The files it has read, also those that could not be.
    pub(super) files: Vec<ReadFile>,
}

impl Reader<'_> {
    /// All of it.
    ///
    /// # Errors
    /// What is missing, in words for people.
    pub(super) fn material(
        &mut self,
        certificates: &[Certificate],
        validation: Option<&Validation>,
    ) -> Result<Material, String> {
        let mut material = Material::default();
        for certificate in certificates {
            material.certificates.push(match certificate {
                Certificate::Pair { chain, key } => self.pair(chain, key)?,
                Certificate::Secret(name) => match self.secret(name)? {
                    SecretKind::Certificate { chain, key } => self.pair(chain, key)?,
                    _ => return Err(format!("secret `{name}` is no certificate")),
                },
            });
        }
        let Some(validation) = validation else {
            return Ok(material);
        };
        let mut authorities = validation.rules.trusted_ca.as_ref();
        if let Some(name) = &validation.secret {
            let SecretKind::Validation(rules) = self.secret(name)? else {
                return Err(format!("secret `{name}` is no validation context"));
            };
            authorities = rules.trusted_ca.as_ref().or(authorities);
            material.names.clone_from(&rules.names);
        }
        material.trusted_ca = authorities.map(|source| self.read(source)).transpose()?;
        Ok(material)
    }

    fn pair(&mut self, chain: &Source, key: &Private) -> Result<(Vec<u8>, Vec<u8>), String> {
        Ok((self.read(chain)?, self.read(key.reveal())?))
    }

    fn read(&mut self, source: &Source) -> Result<Vec<u8>, String> {
        match source {
            Source::Text(text) => Ok(text.as_bytes().to_vec()),
            Source::Bytes(bytes) => Ok(bytes.clone()),
            Source::File(path) => {
                // Before the reading: what changes during it is seen the next time.
                self.files.push(ReadFile {
                    path: path.clone(),
                    stamp: stamp(Path::new(path)),
                });
                fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
            }
        }
    }
}

impl<'a> Reader<'a> {
    fn secret(&self, name: &str) -> Result<&'a SecretKind, String> {
        let secret = self.secrets.get(name);
        let secret = secret.ok_or_else(|| format!("secret `{name}` is not there"))?;
        Ok(&secret.kind)
    }
}
