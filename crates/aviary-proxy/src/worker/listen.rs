//! Listening sockets that follow the configuration.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aviary_mesh::MeshConfig;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Worker;
use crate::connection::{self, Arrival};
use crate::socket;

/// Pause after the system refused to accept, e.g. because descriptors ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets of one worker. Connections that were accepted live on without them.
pub(super) struct Listeners {
    worker: Rc<Worker>,
    /// Other workers bind the same addresses.
    one_of_many: bool,
    open: HashMap<SocketAddr, DropGuard>,
}

impl Listeners {
    pub(super) fn new(worker: Rc<Worker>, one_of_many: bool) -> Self {
        Self {
            worker,
            one_of_many,
            open: HashMap::new(),
        }
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
            match socket::listen(address, self.one_of_many) {
                Ok(socket) => {
                    tracing::info!(listener = %listener.name, %address, "listening");
                    let stop = CancellationToken::new();
                    self.accept(socket, None, address.port(), stop.clone());
                    self.open.insert(address, stop.drop_guard());
                }
                Err(error) => {
                    tracing::error!(listener = %listener.name, %address, %error, "cannot listen");
                }
            }
        }
    }

    /// Accepts from a socket made by somebody else, for the listener of that port.
    pub(super) fn adopt(&self, port: u16, socket: std::net::TcpListener) {
        socket::tune(&SockRef::from(&socket));
        let adopted = socket
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(socket));
        match adopted {
            Ok(socket) => self.accept(socket, Some(port), port, self.worker.drain.clone()),
            Err(error) => tracing::error!(port, %error, "cannot use the inherited socket"),
        }
    }

    fn accept(
        &self,
        socket: TcpListener,
        inherited: Option<u16>,
        port: u16,
        stop: CancellationToken,
    ) {
        let worker = Rc::clone(&self.worker);
        tokio::task::spawn_local(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = stop.cancelled() => return,
                    () = worker.drain.cancelled() => return,
                };
                match accepted {
                    Ok((tcp, remote)) => {
                        let arrival = Arrival {
                            port,
                            inherited: inherited.is_some(),
                            remote,
                        };
                        worker.spawn(connection::serve(Rc::clone(&worker), tcp, arrival));
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
