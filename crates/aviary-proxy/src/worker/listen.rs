//! Listening sockets that follow the configuration.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::Duration;

use aviary_mesh::MeshConfig;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Listening, Worker};
use crate::connection::{self, Arrival};
use crate::socket;

/// Pause after the system refused to accept, e.g. because descriptors ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets of one worker. Connections that were accepted live on without them.
pub(super) struct Listeners {
    worker: Rc<Worker>,
    /// Other workers bind the same addresses.
    one_of_many: bool,
    open: HashMap<SocketAddr, Open>,
    /// Sockets for the listener of a port, from whoever started the proxy.
    adopted: Vec<(u16, Rc<TcpListener>)>,
    /// Sockets of an older proxy that no listener has asked for yet.
    handed: Vec<(SocketAddr, std::net::TcpListener)>,
}

/// The sockets of one address: one, or those that several workers of an older proxy had.
struct Open {
    sockets: Vec<Rc<TcpListener>>,
    _stop: DropGuard,
}

impl Listeners {
    pub(super) fn new(worker: Rc<Worker>, one_of_many: bool) -> Self {
        Self {
            worker,
            one_of_many,
            open: HashMap::new(),
            adopted: Vec::new(),
            handed: Vec::new(),
        }
    }

    /// Keeps sockets of an older proxy for the listeners at their addresses.
    pub(super) fn hand(&mut self, sockets: Vec<(SocketAddr, std::net::TcpListener)>) {
        self.handed = sockets;
    }

    /// Closes those that the first configuration has no listener for.
    pub(super) fn drop_handed(&mut self) {
        for (address, _) in self.handed.drain(..) {
            tracing::info!(%address, "no listener has this address any more");
        }
    }

    /// Accepts no more.
    pub(super) fn close(&mut self) {
        self.open.clear();
        self.adopted.clear();
        self.handed.clear();
    }

    /// Copies of all sockets.
    pub(super) fn sockets(&self) -> Vec<Listening> {
        let open = self
            .open
            .iter()
            .flat_map(|(address, open)| open.sockets.iter().map(|it| (*address, None, it)));
        let adopted = self
            .adopted
            .iter()
            .filter_map(|(port, socket)| Some((socket.local_addr().ok()?, Some(*port), socket)));
        open.chain(adopted)
            .filter_map(|(address, inherited, socket)| {
                let copy = socket.as_fd().try_clone_to_owned();
                if let Err(error) = &copy {
                    tracing::error!(%address, %error, "cannot copy a listening socket");
                }
                Some(Listening {
                    address,
                    inherited,
                    socket: copy.ok()?.into(),
                })
            })
            .collect()
    }

    /// Opens what is new, closes what is gone, leaves the rest alone.
    pub(super) fn apply(&mut self, mesh: &MeshConfig) {
        let bound = |address: &SocketAddr| {
            mesh.listeners
                .values()
                .any(|listener| listener.bind_to_port && listener.address == *address)
        };
        self.open.retain(|address, _| bound(address));
        self.retry(mesh);
    }

    /// Opens what could not be opened before.
    pub(super) fn retry(&mut self, mesh: &MeshConfig) {
        for listener in mesh
            .listeners
            .values()
            .filter(|listener| listener.bind_to_port)
        {
            let address = listener.address;
            if self.open.contains_key(&address) {
                continue;
            }
            match self.sockets_at(address) {
                Ok(sockets) => {
                    tracing::info!(listener = %listener.name, %address, "listening");
                    let stop = CancellationToken::new();
                    for socket in &sockets {
                        self.accept(Rc::clone(socket), None, address.port(), stop.clone());
                    }
                    let open = Open {
                        sockets,
                        _stop: stop.drop_guard(),
                    };
                    self.open.insert(address, open);
                }
                Err(error) => {
                    tracing::error!(listener = %listener.name, %address, %error, "cannot listen");
                }
            }
        }
    }

    /// The sockets that an older proxy had at an address, else a new one.
    fn sockets_at(&mut self, address: SocketAddr) -> io::Result<Vec<Rc<TcpListener>>> {
        let (ours, others) = std::mem::take(&mut self.handed)
            .into_iter()
            .partition(|(handed, _)| *handed == address);
        self.handed = others;
        let ours: Vec<_> = ours;
        if ours.is_empty() {
            return Ok(vec![Rc::new(socket::listen(address, self.one_of_many)?)]);
        }
        ours.into_iter()
            .map(|(_, socket)| socket::adopt(socket).map(Rc::new))
            .collect()
    }

    /// Accepts from a socket made by somebody else, for the listener of that port.
    pub(super) fn adopt(&mut self, port: u16, socket: std::net::TcpListener) {
        match socket::adopt(socket).map(Rc::new) {
            Ok(socket) => {
                let stop = self.worker.drain.clone();
                self.accept(Rc::clone(&socket), Some(port), port, stop);
                self.adopted.push((port, socket));
            }
            Err(error) => tracing::error!(port, %error, "cannot use the inherited socket"),
        }
    }

    fn accept(
        &self,
        socket: Rc<TcpListener>,
        inherited: Option<u16>,
        port: u16,
        stop: CancellationToken,
    ) {
        let worker = Rc::clone(&self.worker);
        tokio::task::spawn_local(async move {
            loop {
                let accepting = async {
                    worker.gate.accepts().await;
                    socket.accept().await
                };
                let accepted = tokio::select! {
                    accepted = accepting => accepted,
                    () = stop.cancelled() => return,
                    () = worker.drain.cancelled() => return,
                };
                match accepted {
                    Ok((tcp, remote)) => {
                        let Some(ticket) = worker.gate.admit() else {
                            continue;
                        };
                        let arrival = Arrival {
                            port,
                            inherited: inherited.is_some(),
                            remote,
                        };
                        let worker = &worker;
                        worker.spawn(connection::serve(Rc::clone(worker), tcp, arrival, ticket));
                    }
                    Err(error) => {
                        tracing::warn!(port, %error, "cannot accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }
}
