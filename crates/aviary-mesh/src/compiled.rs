//! A [`MeshConfig`] with the indexes that make [`crate::resolve`] quick.
//!
//! Built once per change; tables that did not change are taken over from the one before.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::MeshConfig;
use crate::listener::{ChainAction, HttpChain, Listener, RouteSource};
use crate::route::{PathRewrite, RouteAction, RouteTable};

/// A configuration ready for use.
#[derive(Debug, Default)]
pub struct Config {
    mesh: Arc<MeshConfig>,
    unbound: HashMap<SocketAddr, String>,
    named: HashMap<String, Arc<Table>>,
    inline: HashMap<usize, Arc<Table>>,
}

impl Config {
    /// Compiles `mesh`, taking over from `previous` the tables that are the same.
    pub fn new(mesh: Arc<MeshConfig>, previous: Option<&Self>) -> Self {
        let mut config = Self {
            mesh: Arc::clone(&mesh),
            ..Self::default()
        };
        for (name, listener) in &mesh.listeners {
            if !listener.bind_to_port {
                config.unbound.insert(listener.address, name.clone());
            }
            for chain in listener.chains.iter().chain(&listener.default_chain) {
                if let ChainAction::Http(http) = &chain.action
                    && let RouteSource::Inline(table) = &http.routes
                {
                    let key = inline_key(table);
                    let known = previous.and_then(|config| config.inline.get(&key));
                    config.inline.insert(key, compile(table, known));
                }
            }
        }
        for (name, table) in &mesh.routes {
            let known = previous.and_then(|config| config.named.get(name));
            config.named.insert(name.clone(), compile(table, known));
        }
        config.mesh = mesh;
        config
    }

    /// What it was compiled from.
    pub fn mesh(&self) -> &Arc<MeshConfig> {
        &self.mesh
    }

    /// The unbound listener that connections to `destination` belong to: that of the exact
    /// address, else that of the wildcard address with the same port.
    pub fn unbound_listener(&self, destination: SocketAddr) -> Option<&Listener> {
        let any: IpAddr = match destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let name = self
            .unbound
            .get(&destination)
            .or_else(|| self.unbound.get(&SocketAddr::new(any, destination.port())))?;
        self.mesh.listeners.get(name).map(Arc::as_ref)
    }

    /// The route table of an HTTP chain of this configuration; `None` when it names one that is
    /// not there (yet).
    pub fn table(&self, chain: &HttpChain) -> Option<&Arc<Table>> {
        match &chain.routes {
            RouteSource::Named(name) => self.named.get(name),
            RouteSource::Inline(table) => self.inline.get(&inline_key(table)),
        }
    }
}

/// Inline tables have no name of their own; the configuration keeps them alive, so their address
/// identifies them.
fn inline_key(table: &Arc<RouteTable>) -> usize {
    Arc::as_ptr(table).addr()
}

fn compile(table: &Arc<RouteTable>, known: Option<&Arc<Table>>) -> Arc<Table> {
    match known {
        Some(known) if Arc::ptr_eq(&known.source, table) || known.source == *table => {
            Arc::clone(known)
        }
        _ => Arc::new(Table::new(Arc::clone(table))),
    }
}

/// A route table with an index over its domains and its compiled rewrites.
#[derive(Debug)]
pub struct Table {
    source: Arc<RouteTable>,
    exact: HashMap<String, usize>,
    /// By length of the part after `*`, longest first.
    suffixes: BTreeMap<std::cmp::Reverse<usize>, HashMap<String, usize>>,
    /// By length of the part before `*`, longest first.
    prefixes: BTreeMap<std::cmp::Reverse<usize>, HashMap<String, usize>>,
    any: Option<usize>,
    /// By virtual host and route.
    rewrites: HashMap<(usize, usize), Rewrite>,
}

/// A compiled [`PathRewrite::Regex`].
#[derive(Debug)]
pub(crate) struct Rewrite {
    pattern: regex::Regex,
    /// In the syntax of crate `regex`: `${1}`.
    substitution: String,
}

impl Rewrite {
    /// Compiles an RE2 expression and a substitution with `\1` groups.
    ///
    /// # Errors
    /// The parser's message when `pattern` is not a regular expression.
    fn new(pattern: &str, substitution: &str) -> Result<Self, String> {
        let pattern = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| error.to_string())?;
        let mut out = String::with_capacity(substitution.len() + 8);
        let mut rest = substitution.chars();
        while let Some(character) = rest.next() {
            match character {
                '$' => out.push_str("$$"),
                '\\' => match rest.next() {
                    Some(digit) if digit.is_ascii_digit() => {
                        out.push_str("${");
                        out.push(digit);
                        out.push('}');
                    }
                    Some('\\') => out.push('\\'),
                    _ => return Err(format!("bad group in substitution `{substitution}`")),
                },
                other => out.push(other),
            }
        }
        Ok(Self {
            pattern,
            substitution: out,
        })
    }

    /// The new path.
    pub(crate) fn apply(&self, path: &str) -> String {
        self.pattern
            .replace_all(path, self.substitution.as_str())
            .into_owned()
    }
}

/// Whether a regular-expression rewrite can be used.
///
/// # Errors
/// What is wrong with it.
pub fn check_rewrite(pattern: &str, substitution: &str) -> Result<(), String> {
    Rewrite::new(pattern, substitution).map(drop)
}

impl Table {
    /// Compiles `table`. A rewrite that does not pass [`check_rewrite`] leaves paths as they are;
    /// such a table is refused when it arrives.
    pub fn new(table: Arc<RouteTable>) -> Self {
        let mut compiled = Self {
            exact: HashMap::new(),
            suffixes: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            any: None,
            rewrites: HashMap::new(),
            source: Arc::default(),
        };
        for (host, virtual_host) in table.virtual_hosts.iter().enumerate() {
            for domain in &virtual_host.domains {
                compiled.add_domain(&domain.to_ascii_lowercase(), host);
            }
            for (number, route) in virtual_host.routes.iter().enumerate() {
                if let Some((pattern, substitution)) = regex_of(&route.action)
                    && let Ok(rewrite) = Rewrite::new(pattern, substitution)
                {
                    compiled.rewrites.insert((host, number), rewrite);
                }
            }
        }
        compiled.source = table;
        compiled
    }

    fn add_domain(&mut self, domain: &str, host: usize) {
        if domain == "*" {
            self.any.get_or_insert(host);
            return;
        }
        let (map, key) = if let Some(suffix) = domain.strip_prefix('*') {
            (
                self.suffixes
                    .entry(std::cmp::Reverse(suffix.len()))
                    .or_default(),
                suffix,
            )
        } else if let Some(prefix) = domain.strip_suffix('*') {
            (
                self.prefixes
                    .entry(std::cmp::Reverse(prefix.len()))
                    .or_default(),
                prefix,
            )
        } else {
            (&mut self.exact, domain)
        };
        map.entry(key.to_owned()).or_insert(host);
    }

    /// What it was compiled from.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.source
    }

    pub(crate) fn rewrite(&self, host: usize, route: usize) -> Option<&Rewrite> {
        self.rewrites.get(&(host, route))
    }

    /// Index of the virtual host for a host as the client sent it.
    pub(crate) fn virtual_host(&self, authority: &str) -> Option<usize> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let host = if self.source.ignore_port_in_host {
            without_port(authority)
        } else {
            authority
        };
        let lowered;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lowered = host.to_ascii_lowercase();
            &lowered
        } else {
            host
        };
        if let Some(found) = self.exact.get(host) {
            return Some(*found);
        }
        for (length, map) in &self.suffixes {
            // A wildcard stands for at least one character.
            let start = host.len().checked_sub(length.0).filter(|start| *start > 0);
            if let Some(found) = start
                .and_then(|start| host.get(start..))
                .and_then(|h| map.get(h))
            {
                return Some(*found);
            }
        }
        for (length, map) in &self.prefixes {
            if length.0 < host.len()
                && let Some(found) = host.get(..length.0).and_then(|head| map.get(head))
            {
                return Some(*found);
            }
        }
        self.any
    }
}

/// Pattern and substitution of the new path, where there are some.
fn regex_of(action: &RouteAction) -> Option<(&str, &str)> {
    match action {
        RouteAction::Forward(forward) => match forward.rewrite.as_ref()? {
            PathRewrite::Regex {
                pattern,
                substitution,
            } => Some((pattern, substitution)),
            PathRewrite::Prefix(_) => None,
        },
        RouteAction::Redirect(redirect) => {
            let (pattern, substitution) = redirect.regex.as_ref()?;
            Some((pattern, substitution))
        }
        RouteAction::Direct(_) => None,
    }
}

/// A host without its port; the brackets of an IPv6 address stay.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests;
