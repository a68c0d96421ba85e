//! The DNS server's process: UDP and TCP on 10.96.0.10:53, the table read again whenever its file changed.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::answer::answer;
use super::table::Table;
use crate::network::DNS_ADDRESS;

/// Largest UDP answer; larger ones are truncated. Source: DNS flag day 2020.
const UDP_LIMIT: usize = 1232;
/// How long a TCP client may take for its query.
const TCP_PATIENCE: Duration = Duration::from_secs(2);

/// Serves until the process ends. Gives only errors: the addresses cannot be bound.
pub(crate) fn serve<Never>(file: &Path) -> io::Result<Never> {
    let udp = UdpSocket::bind((DNS_ADDRESS, 53))?;
    let tcp = TcpListener::bind((DNS_ADDRESS, 53))?;
    let tables = Arc::new(Tables {
        file: file.to_path_buf(),
        loaded: Mutex::default(),
    });
    let shared = Arc::clone(&tables);
    std::thread::Builder::new()
        .name("dns-tcp".to_owned())
        .spawn(move || {
            for stream in tcp.incoming().flatten() {
                // A client that sends nonsense or nothing loses its connection, nobody else's.
                let _ = serve_stream(&shared, stream);
            }
        })?;
    let mut buffer = [0_u8; 4096];
    loop {
        let Ok((length, peer)) = udp.recv_from(&mut buffer) else {
            continue;
        };
        let request = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = answer(&tables.current(), request, Some(UDP_LIMIT)) {
            let _ = udp.send_to(&reply, peer);
        }
    }
}

fn serve_stream(tables: &Tables, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(TCP_PATIENCE))?;
    stream.set_write_timeout(Some(TCP_PATIENCE))?;
    let mut length = [0_u8; 2];
    stream.read_exact(&mut length)?;
    let mut request = vec![0_u8; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut request)?;
    let Some(reply) = answer(&tables.current(), &request, None) else {
        return Ok(());
    };
    let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&reply)
}

/// The table and the file's time and inode when it was read.
#[derive(Default)]
struct Loaded {
    stamp: Option<(SystemTime, u64)>,
    table: Arc<Table>,
}

struct Tables {
    file: PathBuf,
    loaded: Mutex<Loaded>,
}

impl Tables {
    /// The table of now; the last good one if the file is absent or broken.
    fn current(&self) -> Arc<Table> {
        let stamp = fs::metadata(&self.file)
            .and_then(|meta| Ok((meta.modified()?, std::os::unix::fs::MetadataExt::ino(&meta))))
            .ok();
        let mut loaded = self.loaded.lock();
        if stamp.is_some() && loaded.stamp != stamp {
            let fresh = fs::read(&self.file).ok();
            if let Some(table) = fresh.and_then(|text| serde_json::from_slice(&text).ok()) {
                *loaded = Loaded {
                    stamp,
                    table: Arc::new(table),
                };
            }
        }
        Arc::clone(&loaded.table)
    }
}
