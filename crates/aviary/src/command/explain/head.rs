//! The request that is asked about.

use std::borrow::Cow;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use aviary_mesh::resolve::Head;

/// A request, as curl would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    method: String,
    scheme: String,
    /// Host of the URL, and port when it has one: where the connection goes.
    to: String,
    /// The same, or what a header `host` says instead.
    authority: String,
    path: String,
    /// Lower-case names and values.
    headers: Vec<(String, String)>,
}

impl Asked {
    /// From a method, a URL, and headers as `name: value`.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub(super) fn new(method: &str, url: &str, headers: &[String]) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        if !matches!(scheme, "http" | "https") {
            bail!("`{url}`: want `http://HOST[:PORT]/PATH` or `https://…`");
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut asked = Self {
            method: method.to_ascii_uppercase(),
            scheme: scheme.to_owned(),
            to: authority.to_owned(),
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
            headers: Vec::new(),
        };
        for header in headers {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("`{header}`: want `name: value`"))?;
            match name.trim().to_ascii_lowercase() {
                name if name == "host" => value.trim().clone_into(&mut asked.authority),
                name => asked.headers.push((name, value.trim().to_owned())),
            }
        }
        if asked.to.is_empty() {
            bail!("`{url}` has no host");
        }
        Ok(asked)
    }

    /// The path with query.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The same request as the rules see it.
    pub(super) fn seen_as(&self, path: String, authority: String) -> Self {
        Self {
            authority,
            path,
            ..self.clone()
        }
    }

    /// What curl shows of it.
    pub(super) fn line(&self) -> String {
        format!("{} {}://{}{}", self.method, self.scheme, self.to, self.path)
    }

    /// The URL's host without port.
    pub(super) fn host(&self) -> &str {
        aviary_mesh::compiled::without_port(&self.to)
    }

    /// The host, when it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host().trim_matches(['[', ']']).parse().ok()
    }

    /// The port of the URL, or its scheme's.
    pub(super) fn port(&self) -> u16 {
        let rest = self.to.get(self.host().len()..).unwrap_or_default();
        let own = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        own.unwrap_or_else(|| if self.is_tls() { 443 } else { 80 })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.scheme == "https"
    }
}

impl Head for Asked {
    fn method(&self) -> &str {
        &self.method
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn path_and_query(&self) -> &str {
        &self.path
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
        let between = if name == "cookie" { "; " } else { "," };
        match values.as_slice() {
            [] => None,
            [only] => Some(Cow::Borrowed(only)),
            many => Some(Cow::Owned(many.join(between))),
        }
    }

    fn each_value(&self, name: &str, take: &mut dyn FnMut(&str)) {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.for_each(|(_, value)| take(value));
    }
}
