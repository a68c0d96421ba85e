//! Links, addresses and routes by netlink.

use std::fs;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use futures::TryStreamExt;
use nix::sched::{CloneFlags, setns};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::{BRIDGE, DNS_ADDRESS, Error, NODE_ADDRESS, SERVICE_RANGE};

/// Sets up the network of a fresh node namespace: loopback, bridge, forwarding, the DNS address.
///
/// Must be called from a process with one thread.
pub(crate) fn make_node() -> Result<(), Error> {
    with_netlink(async |handle| {
        let lo = index_of(&handle, "lo").await?;
        set_up(&handle, lo).await?;
        handle
            .link()
            .add(LinkBridge::new(BRIDGE).up().build())
            .execute()
            .await
            .map_err(Error::netlink("cannot make the node's bridge"))?;
        let bridge = index_of(&handle, BRIDGE).await?;
        add_address(&handle, bridge, NODE_ADDRESS, 16).await?;
        add_address(&handle, bridge, DNS_ADDRESS, 32).await?;
        // A packet needs a route before the output hook may give it another destination.
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(SERVICE_RANGE, 16)
            .output_interface(bridge)
            .scope(rtnetlink::packet_route::route::RouteScope::Link)
            .build();
        add_route(&handle, route).await
    })?;
    sysctl("net/ipv4/ip_forward", "1")?;
    // A pod's packet to another pod leaves by the bridge on which it came: no reason to tell the pod of a shorter way.
    for key in ["all", "default", BRIDGE] {
        sysctl(&format!("net/ipv4/conf/{key}/send_redirects"), "0")?;
    }
    // Where the host has the module br_netfilter, translated packets would be bridged past the node's IP layer.
    let bridged = "net/bridge/bridge-nf-call-iptables";
    if fs::exists(format!("/proc/sys/{bridged}")).unwrap_or_default() {
        sysctl(bridged, "0")?;
    }
    Ok(())
}

/// Makes the pod's side and the node's side of a veth pair and gives the pod its address and default route.
///
/// The caller is in the pod's fresh network namespace and comes back to it; `node` is the node's. One thread only.
pub(crate) fn make_pod(
    node: &impl AsFd,
    pod: &impl AsFd,
    host_link: &str,
    address: Ipv4Addr,
) -> Result<(), Error> {
    let node_fd = node.as_fd().as_raw_fd();
    with_netlink(async |handle| {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(host_link.to_owned())
            .setns_by_fd(node_fd)
            .build();
        let link = LinkMessageBuilder::<LinkVeth>::new("eth0", host_link)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        handle
            .link()
            .add(link)
            .execute()
            .await
            .map_err(Error::netlink("cannot make the pod's link"))
    })?;
    in_namespace(node, pod, || attach(host_link))?;
    with_netlink(async |handle| {
        let lo = index_of(&handle, "lo").await?;
        set_up(&handle, lo).await?;
        let eth0 = index_of(&handle, "eth0").await?;
        set_up(&handle, eth0).await?;
        // As a /32: even a neighbour is reached through the node, whose IP layer translates Service addresses back.
        add_address(&handle, eth0, address, 32).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(NODE_ADDRESS)
            .output_interface(eth0)
            .onlink()
            .build();
        add_route(&handle, route).await
    })
}

fn attach(host_link: &str) -> Result<(), Error> {
    with_netlink(async |handle| {
        let bridge = index_of(&handle, BRIDGE).await?;
        let index = index_of(&handle, host_link).await?;
        handle
            .link()
            .change(
                LinkUnspec::new_with_index(index)
                    .controller(bridge)
                    .up()
                    .build(),
            )
            .execute()
            .await
            .map_err(Error::netlink("cannot attach the pod to the bridge"))
    })
}

fn in_namespace<T>(
    there: &impl AsFd,
    back: &impl AsFd,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let go = |namespace: &dyn AsFdDyn| {
        setns(namespace.fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|error| Error::io("cannot change the network namespace")(error.into()))
    };
    go(there)?;
    let result = work();
    go(back)?;
    result
}

/// `AsFd` behind a reference, so that one closure takes both namespaces.
trait AsFdDyn {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Runs `work` with a netlink connection of the current network namespace.
fn with_netlink<F>(work: impl FnOnce(Handle) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("cannot build a runtime"))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(Error::io("cannot open a netlink socket"))?;
        tokio::select! {
            result = work(handle) => result,
            () = connection => Err(Error::io("the netlink socket closed")(std::io::ErrorKind::BrokenPipe.into())),
        }
    })
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32, Error> {
    let what = || Error::netlink(format!("cannot find the link `{name}`"));
    let link = handle
        .link()
        .get()
        .match_name(name.to_owned())
        .execute()
        .try_next()
        .await;
    link.map_err(what())?
        .map(|link| link.header.index)
        .ok_or_else(|| what()(rtnetlink::Error::RequestFailed))
}

async fn set_up(handle: &Handle, index: u32) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .change(message)
        .execute()
        .await
        .map_err(Error::netlink("cannot set a link up"))
}

async fn add_address(
    handle: &Handle,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<(), Error> {
    handle
        .address()
        .add(index, IpAddr::V4(address), prefix)
        .execute()
        .await
        .map_err(Error::netlink(format!(
            "cannot add the address {address}/{prefix}"
        )))
}

async fn add_route(
    handle: &Handle,
    route: rtnetlink::packet_route::route::RouteMessage,
) -> Result<(), Error> {
    handle
        .route()
        .add(route)
        .execute()
        .await
        .map_err(Error::netlink("cannot add a route"))
}

fn sysctl(key: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/{key}");
    // A read-only /proc/sys is no failure where the value is right already.
    fs::write(&path, value).or_else(|error| match fs::read_to_string(&path) {
        Ok(text) if text.trim() == value => Ok(()),
        _ => Err(Error::io(format!("cannot set `{path}` to {value}"))(error)),
    })
}
