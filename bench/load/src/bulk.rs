//! Reading a stream without end.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::poller::Poller;

/// What was read.
#[derive(Debug, Serialize)]
pub(crate) struct Sunk {
    bytes: u64,
    seconds: f64,
}

/// Reads from `connections` connections for `length`.
///
/// # Errors
/// A connection cannot be made or ends.
pub(crate) fn sink(address: SocketAddr, connections: usize, length: Duration) -> Result<Sunk> {
    let mut poller = Poller::new()?;
    let mut streams = Vec::new();
    for key in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        poller.add(&stream, key, false)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let mut bytes = 0;
    let mut buffer = vec![0; 256 * 1024];
    let mut ready = Vec::new();
    while start.elapsed() < length {
        poller.wait(Some(Duration::from_millis(100)), &mut ready)?;
        for ready in &ready {
            let Some(stream) = streams.get_mut(ready.key) else {
                continue;
            };
            match stream.read(&mut buffer) {
                Ok(0) => bail!("a stream without end ended"),
                Ok(read) => bytes += read as u64,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Sunk {
        bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}
