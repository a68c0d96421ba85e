//! A newer proxy takes the listening sockets over, and the older one drains and ends.
//!
//! Both are started with the same path. The newer one connects to it and is given every listening
//! socket; both accept from them until the newer one says that it is ready, so no connection is
//! refused, and none that waits in a queue is lost. Then the newer one listens on the path itself.
//! A newer one that ends before it is ready changes nothing.

mod packet;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::getuid;
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;

use packet::Packet;
pub(crate) use packet::Purpose;

/// The newer proxy has this long to become ready; after that the older one stays in charge.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// A socket that changes hands.
#[derive(Debug)]
pub(crate) struct Handed {
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// The socket.
    pub(crate) socket: TcpListener,
}

/// The newer proxy's side, until it is ready.
#[derive(Debug)]
pub(crate) struct Taking {
    connection: UnixStream,
    sockets: Vec<Handed>,
}

/// Asks the proxy that listens on `path` for its sockets; `None` when there is none.
///
/// # Errors
/// The system's, and when what is there does not speak like a proxy.
pub(crate) fn take(path: &Path) -> io::Result<Option<Taking>> {
    let connection = match UnixStream::connect(path) {
        Ok(connection) => limited(connection)?,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    packet::send(&connection, &Packet::Take { version: 1 }, None)?;
    let mut sockets = Vec::new();
    loop {
        match packet::receive(&connection)? {
            Some((Packet::Socket { purpose }, Some(fd))) => sockets.push(Handed {
                purpose,
                socket: TcpListener::from(fd),
            }),
            Some((Packet::End { count }, _)) if count == sockets.len() => break,
            None => return Err(cut_short()),
            Some(_) => return Err(odd()),
        }
    }
    tracing::info!(
        sockets = sockets.len(),
        "took the sockets of the running proxy over"
    );
    Ok(Some(Taking {
        connection,
        sockets,
    }))
}

/// Whether no proxy is there: no file, or one that was left behind.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

impl Taking {
    /// The sockets; each is given once.
    pub(crate) fn sockets(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.sockets)
    }

    /// Tells the older proxy to drain, because this one accepts from all the sockets.
    ///
    /// # Errors
    /// The system's, when the older proxy is gone or waits no longer.
    pub(crate) fn ready(self) -> io::Result<()> {
        packet::send(&self.connection, &Packet::Ready, None)
    }
}

/// The older proxy's side: waits on the path.
#[derive(Debug)]
pub(crate) struct Offer {
    socket: UnixListener,
    path: PathBuf,
    /// The file that was made, to tell it from one that took its place.
    inode: u64,
}

impl Offer {
    /// Listens on `path`, in place of whoever did before. Only the same user can connect.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let ours = PathBuf::from(name);
        // Left behind by a process with the same number that was killed.
        drop(fs::remove_file(&ours));
        let socket = UnixListener::bind(&ours)?;
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o600))?;
        let inode = fs::metadata(&ours)?.ino();
        fs::rename(&ours, path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            inode,
        })
    }

    /// Waits until a newer proxy asks for the sockets. Requests of others are refused.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn asked(&self) -> io::Result<Asked> {
        loop {
            let (connection, _) = self.socket.accept().await?;
            if connection.peer_cred()?.uid() == getuid().as_raw() {
                let connection = connection.into_std()?;
                connection.set_nonblocking(false)?;
                return Ok(Asked {
                    connection: limited(connection)?,
                });
            }
            tracing::warn!("another user asked for the sockets and was refused");
        }
    }
}

impl Offer {
    /// Whether the path still leads here.
    pub(crate) fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // The file of a newer proxy stays.
        if self.is_in_place() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// A newer proxy that waits for the sockets.
#[derive(Debug)]
pub(crate) struct Asked {
    connection: UnixStream,
}

impl Asked {
    /// Gives copies of the sockets and waits until the newer proxy is ready.
    ///
    /// # Errors
    /// When it ends or fails before that: then nothing has changed here.
    pub(crate) async fn give(self, sockets: Vec<Handed>) -> io::Result<()> {
        let give = move || {
            let connection = &self.connection;
            match packet::receive(connection)? {
                Some((Packet::Take { version: 1 }, _)) => {}
                _ => return Err(odd()),
            }
            let count = sockets.len();
            for Handed { purpose, socket } in sockets {
                packet::send(
                    connection,
                    &Packet::Socket { purpose },
                    Some(socket.as_fd()),
                )?;
            }
            packet::send(connection, &Packet::End { count }, None)?;
            match packet::receive(connection)? {
                Some((Packet::Ready, _)) => Ok(()),
                None => Err(cut_short()),
                Some(_) => Err(odd()),
            }
        };
        spawn_blocking(give).await.map_err(io::Error::other)?
    }
}

/// Each send and receive waits only so long.
fn limited(connection: UnixStream) -> io::Result<UnixStream> {
    connection.set_read_timeout(Some(READY_LIMIT))?;
    connection.set_write_timeout(Some(READY_LIMIT))?;
    Ok(connection)
}

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the other proxy ended before the sockets had changed hands",
    )
}

fn odd() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what is at the other end of the hand-over path does not speak like a proxy of this version",
    )
}
