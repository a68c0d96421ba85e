//! Which virtual host a request is for.

use crate::route::RouteTable;
use crate::xxhash::xxhash64;

/// Domains by their hashes; what they are is looked up in the table.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: Box<[Domain]>,
    /// By length of the part after `*`, longest first.
    suffixes: Box<[(usize, Box<[Domain]>)]>,
    /// By length of the part before `*`, longest first.
    prefixes: Box<[(usize, Box<[Domain]>)]>,
    any: Option<u32>,
}

/// A domain without its `*`.
#[derive(Debug, Clone, Copy)]
struct Domain {
    hash: u64,
    virtual_host: u32,
    /// Position in the virtual host.
    number: u32,
}

impl Hosts {
    pub(super) fn new(table: &RouteTable) -> Self {
        let mut all: Vec<(Form, usize, Domain)> = Vec::new();
        let mut any = None;
        for (host, virtual_host) in (0..).zip(&table.virtual_hosts) {
            for (number, domain) in (0..).zip(&virtual_host.domains) {
                let (form, text) = form(domain);
                if form != Form::Exact && text.is_empty() {
                    any.get_or_insert(host);
                    continue;
                }
                let domain = Domain {
                    hash: xxhash64(text.to_ascii_lowercase().as_bytes(), 0),
                    virtual_host: host,
                    number,
                };
                let length = if form == Form::Exact { 0 } else { text.len() };
                all.push((form, length, domain));
            }
        }
        // Of equal ones the first is used: the order of declaration is kept.
        all.sort_by_key(|(form, length, domain)| (*form, usize::MAX - length, domain.hash));
        let of = |wanted: Form| {
            all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
                .filter(move |chunk| chunk[0].0 == wanted)
                .map(|chunk| {
                    let domains = chunk.iter().map(|(_, _, domain)| *domain);
                    (chunk[0].1, domains.collect::<Box<[_]>>())
                })
        };
        Self {
            exact: of(Form::Exact)
                .next()
                .map(|(_, all)| all)
                .unwrap_or_default(),
            suffixes: of(Form::Suffix).collect(),
            prefixes: of(Form::Prefix).collect(),
            any,
        }
    }

    /// The virtual host for a host in lower case.
    pub(super) fn find(&self, table: &RouteTable, host: &str) -> Option<usize> {
        let found = find(&self.exact, table, host);
        let suffix = || {
            self.suffixes.iter().find_map(|(length, domains)| {
                // A wildcard stands for at least one character.
                let start = host.len().checked_sub(*length).filter(|start| *start > 0)?;
                find(domains, table, host.get(start..)?)
            })
        };
        let prefix = || {
            self.prefixes.iter().find_map(|(length, domains)| {
                let head = (*length < host.len()).then(|| host.get(..*length))?;
                find(domains, table, head?)
            })
        };
        let found = found.or_else(suffix).or_else(prefix).or(self.any)?;
        Some(found as usize)
    }

    /// Whether every host belongs to the same one.
    pub(super) fn is_trivial(&self) -> bool {
        self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty()
    }
}

/// What of a host a domain is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Exact,
    Suffix,
    Prefix,
}

/// A domain's form, and its text without `*`.
fn form(domain: &str) -> (Form, &str) {
    if let Some(suffix) = domain.strip_prefix('*') {
        (Form::Suffix, suffix)
    } else if let Some(prefix) = domain.strip_suffix('*') {
        (Form::Prefix, prefix)
    } else {
        (Form::Exact, domain)
    }
}

/// The first of the domains that is `text`.
fn find(domains: &[Domain], table: &RouteTable, text: &str) -> Option<u32> {
    if domains.is_empty() {
        return None;
    }
    let hash = xxhash64(text.as_bytes(), 0);
    let first = domains.partition_point(|domain| domain.hash < hash);
    domains[first..]
        .iter()
        .take_while(|domain| domain.hash == hash)
        .find(|domain| {
            let all = &table.virtual_hosts[domain.virtual_host as usize].domains;
            let own = form(&all[domain.number as usize]).1;
            own == text || own.eq_ignore_ascii_case(text)
        })
        .map(|domain| domain.virtual_host)
}
