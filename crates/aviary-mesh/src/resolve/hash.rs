//! The hash of a request, by which balancers and splits keep a client where it was.

use std::fmt;
use std::net::IpAddr;

use super::condition::query_value;
use super::{Caller, Head};
use crate::route::{Affinity, BUCKETS, HashCookie, HashOf, HashPolicy};
use crate::xxhash::xxhash64;

/// The hash of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hashed<'a> {
    /// `None` when no policy gave one: then a balancer draws a number of its own.
    pub value: Option<u64>,
    /// A cookie that was made; its text ([`fmt::Display`]) is to be added to the reply as
    /// `set-cookie`, when the hash was used.
    pub cookie: Option<Made<'a>>,
}

/// A cookie made for a client without one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Made<'a> {
    cookie: &'a HashCookie,
    value: u64,
}

/// The value of `set-cookie`. Source: Envoy `Utility::makeSetCookieValue`.
impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=\"{:016x}\"", self.cookie.name, self.value)?;
        match self.cookie.ttl {
            Some(ttl) if ttl.as_secs() > 0 => write!(f, "; Max-Age={}", ttl.as_secs())?,
            _ => {}
        }
        if !self.cookie.path.is_empty() {
            write!(f, "; Path={}", self.cookie.path)?;
        }
        for (name, value) in &self.cookie.attributes {
            if value.is_empty() {
                write!(f, "; {name}")?;
            } else {
                write!(f, "; {name}={value}")?;
            }
        }
        f.write_str("; HttpOnly")
    }
}

/// Applies the policies in order.
///
/// Source: Envoy `HashPolicyImpl::generateHash`: hashes are combined by rotating and exclusive or.
pub(super) fn hash<'a>(policies: &'a [HashPolicy], head: &impl Head) -> Hashed<'a> {
    let mut hashed = Hashed::default();
    for policy in policies {
        let new = hash_of(&policy.of, head, &mut hashed.cookie);
        if let Some(new) = new {
            let old = hashed.value.map_or(0, |old| old.rotate_left(1));
            hashed.value = Some(old ^ new);
        }
        if policy.terminal && hashed.value.is_some() {
            break;
        }
    }
    hashed
}

fn hash_of<'a>(of: &'a HashOf, head: &impl Head, made: &mut Option<Made<'a>>) -> Option<u64> {
    match of {
        HashOf::Header(name) => of_header(name, head),
        HashOf::SourceIp => head.caller().map(|caller| hash_address(caller.client)),
        HashOf::Query(name) => query_value(name, head.path_and_query()).map(text_hash),
        HashOf::Cookie(cookie) => of_cookie(cookie, head, made),
    }
}

/// The bucket of a client, 0 to 999,999; `None` when the request does not tell it.
pub(super) fn bucket(affinity: &Affinity, head: &impl Head) -> Option<u32> {
    let client = hash_of(&affinity.of, head, &mut None)?;
    let hash = xxhash64(&client.to_le_bytes(), text_hash(&affinity.salt));
    u32::try_from(hash % u64::from(BUCKETS)).ok()
}

/// The hash of a client's address, for connections whose chain follows it
/// ([`crate::listener::TcpChain::hash_source_ip`]).
pub fn hash_address(client: IpAddr) -> u64 {
    text_hash(&client.to_canonical().to_string())
}

fn text_hash(text: &str) -> u64 {
    xxhash64(text.as_bytes(), 0)
}

/// Of several values all, in sorted order, each with the hash so far as its seed.
///
/// Source: Envoy `HashUtil::xxHash64` of several.
fn of_header(name: &str, head: &impl Head) -> Option<u64> {
    let mut count = 0;
    let mut only = None;
    head.each_value(name, &mut |value| {
        count += 1;
        only = Some(text_hash(value));
    });
    if count < 2 {
        return only;
    }
    let mut values = Vec::with_capacity(count);
    head.each_value(name, &mut |value| values.push(value.to_owned()));
    values.sort_unstable();
    let hash = |seed, value: &String| xxhash64(value.as_bytes(), seed);
    Some(values.iter().fold(0, hash))
}

fn of_cookie<'a>(
    cookie: &'a HashCookie,
    head: &impl Head,
    made: &mut Option<Made<'a>>,
) -> Option<u64> {
    let cookies = head.header("cookie");
    let value = cookies
        .as_deref()
        .and_then(|all| cookie_value(all, &cookie.name));
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        return Some(text_hash(value));
    }
    cookie.ttl?;
    let value = connection_hash(head.caller()?);
    *made = Some(Made { cookie, value });
    Some(text_hash(&format!("{value:016x}")))
}

/// The same for every request of a connection, so that requests that race get the same cookie.
fn connection_hash(caller: &Caller<'_>) -> u64 {
    text_hash(&format!("{}{}", caller.direct, caller.destination))
}

/// Source: Envoy `Utility::parseCookieValue`: quotes around the value are left out.
fn cookie_value<'h>(cookies: &'h str, name: &str) -> Option<&'h str> {
    let value = cookies.split(';').find_map(|pair| {
        let (key, value) = pair.trim_start().split_once('=')?;
        (key == name).then_some(value)
    })?;
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    Some(inner.unwrap_or(value))
}

#[cfg(test)]
mod tests;
