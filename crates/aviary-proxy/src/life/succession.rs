//! One proxy after another on the same sockets: how they are shared out, and who serves when.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::hand_over::{Handed, Offer, Purpose, Taking};
use crate::serve::Handles;
use crate::worker::Query;

/// What one proxy needs to follow another and to be followed.
pub(crate) struct Succession {
    /// Where newer proxies ask.
    pub(crate) path: PathBuf,
    /// The older proxy, which waits until this one serves.
    pub(crate) taking: Option<Taking>,
    pub(crate) workers: Handles,
    /// Copies of the sockets of the proxy's own pages, by name.
    pub(crate) pages: Vec<(String, TcpListener)>,
    /// Ends this proxy.
    pub(crate) drain: CancellationToken,
    /// Cancelled when a newer proxy serves.
    pub(crate) followed: CancellationToken,
}

/// Tells the older proxy to end once this one serves, then waits for a newer one and makes way.
pub(crate) async fn run(mut succession: Succession) {
    if !succession.workers.ready().await {
        return;
    }
    // Before the older one goes: at any moment somebody answers there.
    let offer = Offer::new(&succession.path);
    if let Some(taking) = succession.taking.take() {
        let told = spawn_blocking(|| taking.ready()).await;
        if let Err(error) = told.map_err(io::Error::other).flatten() {
            tracing::error!(%error, "the running proxy no longer waits: it stays, and this one ends");
            succession.drain.cancel();
            return;
        }
    }
    let waited = match offer {
        Ok(offer) => succession.wait(offer).await,
        Err(error) => Err(error),
    };
    if let Err(error) = waited {
        let path = succession.path.display();
        tracing::error!(%path, %error, "cannot hand the sockets over: no newer proxy can follow");
    }
}

impl Succession {
    async fn wait(&self, mut offer: Offer) -> io::Result<()> {
        loop {
            let asked = offer.asked().await?;
            match asked.give(self.sockets().await?).await {
                Ok(()) => {
                    tracing::info!("a newer proxy serves; what is open here is finished");
                    self.followed.cancel();
                    self.drain.cancel();
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "a newer proxy did not become ready; this one stays");
                    if !offer.is_in_place() {
                        offer = Offer::new(&self.path)?;
                    }
                }
            }
        }
    }

    /// Copies of all listening sockets.
    async fn sockets(&self) -> io::Result<Vec<Handed>> {
        let workers = self.workers.ask(Query::Sockets).await;
        let traffic = workers.into_iter().enumerate().flat_map(|(worker, all)| {
            all.into_iter().map(move |listening| Handed {
                purpose: Purpose::Traffic {
                    worker,
                    address: listening.address,
                    inherited: listening.inherited,
                },
                socket: listening.socket,
            })
        });
        let mut all: Vec<_> = traffic.collect();
        for (name, socket) in &self.pages {
            all.push(Handed {
                purpose: Purpose::Pages(name.clone()),
                socket: socket.try_clone()?,
            });
        }
        Ok(all)
    }
}

/// The sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// For listeners at their addresses.
    pub(crate) handed: Vec<(SocketAddr, TcpListener)>,
    /// For the listener of a port.
    pub(crate) inherited: Vec<(u16, TcpListener)>,
}

/// Shares the sockets for traffic out among so many workers. Each worker gets one of every address
/// at least, if only a copy, and every socket gets a worker, so that nobody waits in a queue that is
/// not served. What is not for traffic is left in `sockets`.
///
/// # Errors
/// The system's, when descriptors run out.
pub(crate) fn share_out(sockets: &mut Vec<Handed>, workers: usize) -> io::Result<Vec<Part>> {
    let mut parts: Vec<_> = (0..workers).map(|_| Part::default()).collect();
    let mut addresses: Vec<(SocketAddr, Option<u16>, Vec<TcpListener>)> = Vec::new();
    let mut rest = Vec::new();
    for handed in sockets.drain(..) {
        let Purpose::Traffic {
            address, inherited, ..
        } = handed.purpose
        else {
            rest.push(handed);
            continue;
        };
        let known = addresses
            .iter_mut()
            .find(|(known, port, _)| (*known, *port) == (address, inherited));
        match known {
            Some((_, _, all)) => all.push(handed.socket),
            None => addresses.push((address, inherited, vec![handed.socket])),
        }
    }
    *sockets = rest;
    for (address, inherited, mut all) in addresses {
        let had = all.len();
        for copy in had..workers {
            if let Some(socket) = all.get(copy % had) {
                all.push(socket.try_clone()?);
            }
        }
        for (number, socket) in all.into_iter().enumerate() {
            let Some(part) = parts.get_mut(number % workers) else {
                continue;
            };
            match inherited {
                Some(port) => part.inherited.push((port, socket)),
                None => part.handed.push((address, socket)),
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(count: usize) -> Vec<Handed> {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut all: Vec<_> = (0..count)
            .map(|worker| Handed {
                purpose: Purpose::Traffic {
                    worker,
                    address: "127.0.0.1:80".parse().unwrap(),
                    inherited: None,
                },
                socket: listen(),
            })
            .collect();
        all.push(Handed {
            purpose: Purpose::Traffic {
                worker: 0,
                address: "127.0.0.1:81".parse().unwrap(),
                inherited: Some(8080),
            },
            socket: listen(),
        });
        all.push(Handed {
            purpose: Purpose::Pages("admin".into()),
            socket: listen(),
        });
        all
    }

    #[test]
    fn share_out_every_worker_has_a_socket_and_every_socket_a_worker() {
        for (had, workers, want) in [
            (1, 1, &[1][..]),
            (1, 3, &[1, 1, 1]),
            (2, 3, &[1, 1, 1]),
            (3, 2, &[2, 1]),
            (4, 1, &[4]),
        ] {
            let mut sockets = handed(had);
            let parts = share_out(&mut sockets, workers).unwrap();
            let counts: Vec<_> = parts.iter().map(|part| part.handed.len()).collect();
            assert_eq!(counts, want, "{had} to {workers}");
            assert!(parts.iter().all(|part| part.inherited.len() == 1));
            assert_eq!(sockets.len(), 1);
        }
    }
}
