//! A [`MeshConfig`] with the indexes that make [`crate::resolve`] quick.
//!
//! Built once per change; tables that did not change are taken over from the one before.

mod hosts;
mod rewrite;
mod routes;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub(crate) use self::rewrite::Rewrite;
pub use self::rewrite::check_rewrite;
pub(crate) use self::routes::Candidates;

use self::hosts::Hosts;
use self::routes::Routes;
use crate::MeshConfig;
use crate::listener::{ChainAction, HttpChain, Listener, RouteSource};
use crate::route::{PathRewrite, RouteAction, RouteTable};

/// A configuration ready for use.
#[derive(Debug, Default)]
pub struct Config {
    mesh: Arc<MeshConfig>,
    unbound: BTreeMap<SocketAddr, Arc<Listener>>,
    named: BTreeMap<String, Arc<Table>>,
    inline: BTreeMap<usize, Arc<Table>>,
}

impl Config {
    /// Compiles `mesh`, taking over from `previous` the tables that are the same.
    pub fn new(mesh: Arc<MeshConfig>, previous: Option<&Self>) -> Self {
        let mut config = Self {
            mesh: Arc::clone(&mesh),
            ..Self::default()
        };
        for listener in mesh.listeners.values() {
            if !listener.bind_to_port {
                let unbound = Arc::clone(listener);
                config.unbound.insert(listener.address, unbound);
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
        let any = SocketAddr::new(any, destination.port());
        let found = self.unbound.get(&destination);
        found.or_else(|| self.unbound.get(&any)).map(Arc::as_ref)
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

/// A route table with indexes over its domains and routes, and its compiled rewrites.
#[derive(Debug)]
pub struct Table {
    source: Arc<RouteTable>,
    hosts: Hosts,
    /// By virtual host, where there are many routes.
    routes: Box<[Option<Box<Routes>>]>,
    /// By virtual host and route.
    rewrites: BTreeMap<(usize, usize), Rewrite>,
}

impl Table {
    /// Compiles `table`. A rewrite that does not pass [`check_rewrite`] leaves paths as they are;
    /// such a table is refused when it arrives.
    pub fn new(table: Arc<RouteTable>) -> Self {
        let mut rewrites = BTreeMap::new();
        for (host, virtual_host) in table.virtual_hosts.iter().enumerate() {
            for (number, route) in virtual_host.routes.iter().enumerate() {
                if let Some((pattern, substitution)) = regex_of(&route.action)
                    && let Ok(rewrite) = Rewrite::new(pattern, substitution)
                {
                    rewrites.insert((host, number), rewrite);
                }
            }
        }
        let routes = table.virtual_hosts.iter();
        Self {
            hosts: Hosts::new(&table),
            routes: routes.map(|host| Routes::new(&host.routes)).collect(),
            rewrites,
            source: table,
        }
    }

    /// What it was compiled from.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.source
    }

    pub(crate) fn rewrite(&self, host: usize, route: usize) -> Option<&Rewrite> {
        if self.rewrites.is_empty() {
            return None;
        }
        self.rewrites.get(&(host, route))
    }

    /// The routes of a virtual host that a path may match, in order; `None` when all may.
    pub(crate) fn candidates(&self, host: usize, path: &str) -> Option<Candidates<'_>> {
        Some(self.routes.get(host)?.as_ref()?.candidates(path))
    }

    /// Index of the virtual host for a host as the client sent it.
    pub(crate) fn virtual_host(&self, authority: &str) -> Option<usize> {
        if self.hosts.is_trivial() {
            return self.hosts.find(&self.source, "");
        }
        let host = if self.source.ignore_port_in_host {
            without_port(authority)
        } else {
            authority
        };
        if has_upper(host.as_bytes()) {
            return self.hosts.find(&self.source, &host.to_ascii_lowercase());
        }
        self.hosts.find(&self.source, host)
    }
}

/// Whether a letter is in upper case; bytes that are not ASCII may make it true.
fn has_upper(text: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let upper = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word) & (EACH * 0x7f);
        // The highest bit of a byte from `A` on, and from behind `Z` on.
        let from_a = word + EACH * (0x80 - 0x41);
        let behind_z = word + EACH * (0x80 - 0x5b);
        from_a & !behind_z & (EACH << 7) != 0
    };
    let (words, rest) = text.as_chunks::<8>();
    words.iter().any(|word| upper(*word)) || rest.iter().any(u8::is_ascii_uppercase)
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
