//! The node's network: one bridge, a veth pair per pod, addresses, Service addresses, redirection to sidecars.

use std::net::Ipv4Addr;

pub(crate) mod address;
pub(crate) mod link;
pub(crate) mod nft;
pub(crate) mod redirect;
pub(crate) mod service;

/// Name of the node's bridge.
pub(crate) const BRIDGE: &str = "aviary0";
/// The node's own address on the bridge; gateway of every pod.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Address of the cluster's DNS server.
pub(crate) const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// First address of the range of Service addresses, a /16.
pub(crate) const SERVICE_RANGE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);

/// Where programs look for names: other sources, such as systemd-resolved, know nothing of the cluster.
pub(crate) const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// The resolver configuration of a pod in `namespace`. Source: kubelet, DNS policy `ClusterFirst`.
pub(crate) fn resolv_conf(namespace: &str) -> String {
    format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver {DNS_ADDRESS}\n\
         options ndots:5\n"
    )
}

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// `nft` refused a rule set.
    #[error("`nft` refused the rules of {subject}: {message}; install nftables 1.0 or later")]
    Nft {
        /// Whose rules.
        subject: &'static str,
        /// What `nft` wrote.
        message: String,
    },
    /// All 65 533 pod addresses are taken.
    #[error("no pod address of 10.244.0.0/16 is free; delete some pods")]
    Exhausted,
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self::Netlink { what, source }
    }
}
