//! From connection and request head to what is done with them, with the reasons.
//!
//! Four users: the proxy, the translator's tests, `aviary explain`, the console.

pub mod trace;

mod chain;
pub(crate) mod condition;
mod hash;
mod outcome;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::Rng;

use crate::compiled::{Config, Table};
use crate::listener::{FilterChain, Listener};
use crate::route::{
    Forward, HeaderEdits, Mirror, Retry, Route, RouteTable, VirtualHost, WeightedCluster,
};
use crate::tls::Subject;

pub use hash::{Hashed, Made, hash_address};
pub(crate) use outcome::draw;

pub use condition::header_holds;

/// What is known of a connection before its first request.
#[derive(Debug, Clone, Default)]
pub struct Connection<'a> {
    /// Where the client meant to go (`SO_ORIGINAL_DST`), or the local address.
    pub destination: Option<SocketAddr>,
    /// Server name of the TLS hello.
    pub server_name: Option<&'a str>,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: &'a str,
    /// Those that the TLS hello names (ALPN), or `http/1.1`, `http/1.0`, `h2c` as found by the
    /// inspector.
    pub application_protocols: &'a [String],
    /// The peer of the connection.
    pub source: Option<SocketAddr>,
}

/// Who calls: what is known of the connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The peer of the connection.
    pub direct: SocketAddr,
    /// The client: the peer, or whom a trusted `x-forwarded-for` names.
    pub client: IpAddr,
    /// Where the connection meant to go, or the local address.
    pub destination: SocketAddr,
    /// TLS ends here.
    pub encrypted: bool,
    /// What the peer's certificate says; `None` when it presented none.
    pub subject: Option<&'a Subject>,
    /// Server name of the TLS hello; empty when there was none.
    pub server_name: &'a str,
}

impl Default for Caller<'_> {
    /// Nobody, from nowhere.
    fn default() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            direct: nowhere,
            client: nowhere.ip(),
            destination: nowhere,
            encrypted: false,
            subject: None,
            server_name: "",
        }
    }
}

/// A request head as the rules see it.
pub trait Head {
    /// Request method.
    fn method(&self) -> &str;
    /// Host as the client sent it, with port if it gave one.
    fn authority(&self) -> &str;
    /// `http` or `https`.
    fn scheme(&self) -> &str;
    /// Path with query.
    fn path_and_query(&self) -> &str;
    /// Path without query and fragment, and what was cut off (with its `?` or `#`).
    fn path_parts(&self) -> (&str, &str) {
        condition::split_path(self.path_and_query())
    }
    /// Value of a header by lower-case name; several values are joined by `,`
    /// (cookies by `; `). `None` when absent. Bytes that are not text count as absent.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Calls `take` with each value of a header by lower-case name that is text.
    fn each_value(&self, name: &str, take: &mut dyn FnMut(&str)) {
        if let Some(value) = self.header(name) {
            take(&value);
        }
    }
    /// Whether the header is there with bytes that are not text. Rules that ask for it deny.
    fn is_unreadable(&self, _name: &str) -> bool {
        false
    }
    /// The connection that it came on; without it, rules that ask for it deny.
    fn caller(&self) -> Option<&Caller<'_>> {
        None
    }
}

/// What is done with a request that passes the filters of its chain ([`crate::filters::pass`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// The route table.
    pub table: &'a RouteTable,
    /// The virtual host taken.
    pub virtual_host: Option<&'a VirtualHost>,
    /// The route taken.
    pub route: Option<&'a Route>,
    /// The outcome.
    pub outcome: Outcome<'a>,
}

impl<'a> Decision<'a> {
    /// Edits of an answer given in place ([`Outcome::Direct`], [`Outcome::Redirect`]), in the order they
    /// apply; those of an upstream's reply are in [`Target::response_edits`].
    pub fn response_edits(&self) -> [&'a HeaderEdits; 4] {
        outcome::edits(self.table, self.virtual_host, self.route, None, |levels| {
            levels.response
        })
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// Sent upstream.
    Forward(Target<'a>),
    /// Redirect: status and `location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Value of `location`.
        location: String,
    },
    /// Answered in place.
    Direct {
        /// Status.
        status: u16,
        /// Body.
        body: &'a str,
    },
    /// No virtual host or no route: 404, flag NR.
    NotFound,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Target<'a> {
    /// The route's forwarding rule.
    pub forward: &'a Forward,
    /// The branch drawn.
    pub branch: &'a WeightedCluster,
    /// New path with query, when it changes.
    pub path: Option<String>,
    /// New host, when it changes; [`Forward::auto_host_rewrite`] is left to who knows the endpoint.
    pub host: Option<Cow<'a, str>>,
    /// For the whole request (route's timeout; `None` without end).
    pub timeout: Option<Duration>,
    /// Retry policy of the route, else of its virtual host.
    pub retry: Option<&'a Retry>,
    /// Those that get a copy of this request.
    pub mirrors: Vec<&'a Mirror>,
    /// Edits of the request, in the order they apply; before `path` and `host`.
    pub request_edits: [&'a HeaderEdits; 4],
    /// Edits of the reply, in the order they apply.
    pub response_edits: [&'a HeaderEdits; 4],
    /// For a balancer by hash.
    pub hash: Hashed<'a>,
}

/// The listener and chain for a connection that arrived at `listener`.
#[derive(Debug, Clone, Copy)]
pub struct ChainChoice<'a> {
    /// The listener that treats it (the bound one, or the unbound one it was handed to).
    pub listener: &'a Listener,
    /// The chain.
    pub chain: &'a FilterChain,
}

/// The listener and chain for a connection that was accepted by the listener `bound`.
///
/// With `use_original_dst` the connection is first handed to the unbound listener of its
/// destination, when there is one. `None` when no chain takes it: it is closed.
pub fn chain<'a>(
    config: &'a Config,
    bound: &'a Listener,
    connection: &Connection<'_>,
) -> Option<ChainChoice<'a>> {
    chain::choose(config, bound, connection, &mut trace::Silent)
}

/// What is done with a request that came in at a chain with this route table.
pub fn request<'a>(table: &'a Table, head: &impl Head, rng: &mut impl Rng) -> Decision<'a> {
    outcome::decide(table, head, rng, &mut trace::Silent)
}

/// [`chain`] with its reasons, one line each.
pub fn explain_chain<'a>(
    config: &'a Config,
    bound: &'a Listener,
    connection: &Connection<'_>,
) -> (Option<ChainChoice<'a>>, Vec<String>) {
    let mut lines = trace::Lines::default();
    let choice = chain::choose(config, bound, connection, &mut lines);
    (choice, lines.into_lines())
}

/// [`request`] with its reasons, one line each.
pub fn explain<'a>(
    table: &'a Table,
    head: &impl Head,
    rng: &mut impl Rng,
) -> (Decision<'a>, Vec<String>) {
    let mut lines = trace::Lines::default();
    let decision = outcome::decide(table, head, rng, &mut lines);
    (decision, lines.into_lines())
}

#[cfg(test)]
mod tests;
