//! Who the other side of a connection is, and whether that is whom we want.

use serde::{Deserialize, Serialize};

use crate::matcher::StringMatch;

/// Kind of an alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SanKind {
    /// A host name, perhaps with `*` as its first label.
    Dns,
    /// A URI: in a mesh the workload's SPIFFE ID.
    Uri,
    /// An IP address.
    Ip,
    /// A mail address.
    Email,
}

/// A condition on an alternative name.
///
/// Source: Envoy `SubjectAltNameMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SanMatch {
    /// Names of this kind are looked at.
    pub kind: SanKind,
    /// One of them must be like this.
    pub value: StringMatch,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
}

/// What a certificate says of its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Distinguished name as RFC 2253 writes it; empty when there is none.
    pub name: String,
    /// Alternative names that are URIs.
    pub uris: Vec<String>,
    /// Alternative names that are host names.
    pub dns: Vec<String>,
    /// Alternative names that are IP addresses, as text.
    pub ips: Vec<String>,
    /// Alternative names that are mail addresses.
    pub emails: Vec<String>,
    /// The certificate may sign others.
    pub is_authority: bool,
    /// First and last second of its validity, in seconds since 1970.
    pub valid: (i64, i64),
}

impl Subject {
    /// Whether it may be used at `now`, in seconds since 1970.
    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.valid.0..=self.valid.1).contains(&now)
    }

    /// The workload that it names: it is a SPIFFE X.509-SVID, with exactly one URI, and no
    /// authority.
    ///
    /// Source: SPIFFE X.509-SVID §4.1, §5.2.
    pub fn identity(&self) -> Option<Identity<'_>> {
        match self.uris.as_slice() {
            [only] if !self.is_authority => Identity::parse(only),
            _ => None,
        }
    }

    /// Whether the certificate fits one of `wanted`; with none wanted it does.
    ///
    /// Differs from Envoy on purpose: a condition on a URI asks for a certificate with exactly one,
    /// whose owner is no authority, so that nobody answers to two names.
    pub fn fits(&self, wanted: &[SanMatch]) -> bool {
        wanted.is_empty() || wanted.iter().any(|it| self.fits_one(it))
    }

    fn fits_one(&self, wanted: &SanMatch) -> bool {
        let like = |name: &String| wanted.value.matches(name, wanted.ignore_case);
        match wanted.kind {
            SanKind::Uri => {
                matches!(self.uris.as_slice(), [only] if like(only)) && !self.is_authority
            }
            SanKind::Dns => self.dns.iter().any(|name| dns_fits(name, wanted)),
            SanKind::Ip => self.ips.iter().any(like),
            SanKind::Email => self.emails.iter().any(like),
        }
    }
}

/// An exact condition is met by a wildcard in the certificate too, for one label.
///
/// Source: Envoy `DnsExactStringSanMatcher`.
fn dns_fits(name: &str, wanted: &SanMatch) -> bool {
    if let (Some(suffix), StringMatch::Exact(exact)) = (name.strip_prefix("*."), &wanted.value) {
        let rest = exact.split_once('.');
        return rest
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix));
    }
    let ignore_case = wanted.ignore_case || matches!(wanted.value, StringMatch::Exact(_));
    wanted.value.matches(name, ignore_case)
}

/// A workload's SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// All of it, e.g. `spiffe://cluster.local/ns/shop/sa/web`.
    pub text: &'a str,
    /// E.g. `cluster.local`.
    pub trust_domain: &'a str,
    /// Without the slash at its beginning, e.g. `ns/shop/sa/web`.
    pub path: &'a str,
}

impl<'a> Identity<'a> {
    /// Reads a SPIFFE ID; `None` when `text` is none.
    ///
    /// Source: SPIFFE ID §2: no port, user, query or fragment; no empty or dot segments.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let domain_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        let path_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let segment =
            |it: &str| !it.is_empty() && it != "." && it != ".." && it.bytes().all(path_byte);
        let good = !trust_domain.is_empty()
            && text.len() <= 2048
            && trust_domain.bytes().all(domain_byte)
            && path.split('/').all(segment);
        good.then_some(Self {
            text,
            trust_domain,
            path,
        })
    }

    /// Namespace and service account, when the path is Istio's.
    pub fn workload(&self) -> Option<(&'a str, &'a str)> {
        let (namespace, account) = self.path.strip_prefix("ns/")?.split_once("/sa/")?;
        (!namespace.contains('/') && !account.contains('/')).then_some((namespace, account))
    }
}

/// Whether a request came over a connection that was not made for its host: the chain was chosen
/// by the server name, and the chain's names do not hold the authority. The answer is 421, so that
/// a client that shares connections between names opens another one.
///
/// `server_names` are the conditions of the connection's chain. Differs from Envoy, which answers
/// from the chain's routes (404 at best, another tenant's at worst).
pub fn misdirected(server_names: &[String], authority: &str) -> bool {
    if server_names.is_empty() {
        return false;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
    let ends_with = |suffix: &str| {
        let start = host.len().checked_sub(suffix.len());
        start
            .is_some_and(|start| start > 0 && host[start..].eq_ignore_ascii_case(suffix.as_bytes()))
    };
    !server_names
        .iter()
        .any(|name| match name.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => ends_with(suffix),
            None => host.eq_ignore_ascii_case(name.as_bytes()),
        })
}
