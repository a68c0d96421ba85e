//! Who a request comes from, as far as the client is believed.
//!
//! Source: Envoy `ConnectionManagerUtility::mutateRequestHeaders`, `Utility::getLastAddressFromXFF`.

use std::net::IpAddr;

use aviary_http::{Fields, Name};
use aviary_mesh::listener::HttpChain;

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address: that of the connection, unless trusted proxies before tell of another.
    pub(crate) address: IpAddr,
    /// Trusted proxies told of it.
    pub(crate) told: bool,
    /// Its `x-envoy-*` headers steer this proxy.
    pub(crate) internal: bool,
    /// It comes from outside.
    pub(crate) edge: bool,
}

impl Client {
    /// The client of a request with these `fields`, before anything is changed in them, which came
    /// from `remote`.
    pub(crate) fn of(chain: &HttpChain, fields: &Fields, remote: IpAddr) -> Self {
        let told = fields.joined(Name::XForwardedFor);
        let told = told.as_deref();
        let (address, alone) = if chain.use_remote_address {
            let behind = chain.trusted_hops.checked_sub(1);
            let before = behind.and_then(|skip| entry(told?, skip));
            (before.map(|(address, _)| address), told.is_none())
        } else {
            let found = told.and_then(|told| entry(told, chain.trusted_hops));
            (
                found.map(|(address, _)| address),
                found.is_some_and(|(_, alone)| alone),
            )
        };
        // Without `x-forwarded-for` nobody says that the client is the one that connected.
        let judged = address.or_else(|| chain.use_remote_address.then_some(remote));
        let internal = alone
            && judged.is_some_and(|it| chain.internal.iter().any(|range| range.contains(&it)));
        Self {
            address: address.unwrap_or(remote),
            told: address.is_some(),
            internal,
            edge: chain.use_remote_address && !internal,
        }
    }
}

/// The address in `told`, a list, after `skip` entries from its end, and whether it is the only one.
fn entry(told: &str, skip: u32) -> Option<(IpAddr, bool)> {
    let mut rest = told;
    for _ in 0..skip {
        rest = rest.rsplit_once(',')?.0;
    }
    let (alone, last) = match rest.rsplit_once(',') {
        Some((_, last)) => (false, last),
        None => (skip == 0, rest),
    };
    Some((last.trim().parse().ok()?, alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn client(chain: &HttpChain, told: &str) -> Client {
        let mut fields = Fields::new();
        if !told.is_empty() {
            fields.append(Name::XForwardedFor, told.as_bytes());
        }
        Client::of(chain, &fields, REMOTE)
    }

    fn chain(use_remote_address: bool, trusted_hops: u32) -> HttpChain {
        HttpChain {
            use_remote_address,
            trusted_hops,
            internal: vec!["10.0.0.0/8".parse().unwrap()],
            ..HttpChain::default()
        }
    }

    #[test]
    fn client_inside_is_the_last_of_the_list() {
        let inside = chain(false, 0);
        for (told, address, internal) in [
            ("", "192.0.2.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("8.8.8.8, 10.1.2.3", "10.1.2.3", false),
            ("10.1.2.3:80", "192.0.2.1", false),
            ("nobody", "192.0.2.1", false),
            ("8.8.8.8", "8.8.8.8", false),
        ] {
            let got = client(&inside, told);
            assert_eq!(got.address, address.parse::<IpAddr>().unwrap(), "{told}");
            assert_eq!((got.internal, got.edge), (internal, false), "{told}");
        }
    }

    #[test]
    fn client_at_an_edge_is_the_connection_unless_hops_are_trusted() {
        let got = client(&chain(true, 0), "10.1.2.3");
        assert_eq!((got.address, got.internal, got.edge), (REMOTE, false, true));
        let got = client(&chain(true, 2), "1.1.1.1,2.2.2.2,3.3.3.3");
        assert_eq!(got.address, "2.2.2.2".parse::<IpAddr>().unwrap());
        let got = client(&chain(true, 2), "3.3.3.3");
        assert_eq!(got.address, REMOTE);
    }
}
