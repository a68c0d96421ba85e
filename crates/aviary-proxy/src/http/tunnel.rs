//! Connections that stop being HTTP after status 101.

use std::any::Any;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::buffer::Buffer;
use crate::splice::Counts;
use crate::stream::Stream;
use crate::tcp;

/// A tunnel that stands still is noticed after its limit and up to this part of it.
const CHECKS: u32 = 4;

/// The endpoint's side of a tunnel.
pub(crate) struct Tunnel {
    stream: Stream,
    /// Bytes that came behind the 101.
    ahead: Buffer,
    /// It ends after this long without a byte.
    idle: Option<Duration>,
    /// Given back when the tunnel ends.
    held: Vec<Box<dyn Any>>,
}

impl Tunnel {
    pub(crate) fn new(stream: Stream, ahead: Buffer, held: impl Any) -> Self {
        Self {
            stream,
            ahead,
            idle: None,
            held: vec![Box::new(held)],
        }
    }

    /// Holds something until the tunnel ends, which it does after `idle` without a byte.
    pub(crate) fn hold(&mut self, idle: Option<Duration>, held: impl Any) {
        self.held.push(Box::new(held));
        self.idle = idle;
    }

    /// Passes bytes both ways until both sides have ended, or nothing moved for too long; gives how
    /// many came from the client, and how many went to it.
    pub(crate) async fn run(self, mut client: Stream, from_client: Buffer) -> (u64, u64) {
        let Self {
            mut stream,
            ahead,
            idle,
            held: _held,
        } = self;
        let (sent, received) = (ahead.len() as u64, from_client.len() as u64);
        let counts = Counts::default();
        let moving = async {
            client.write_all(ahead.data()).await?;
            stream.write_all(from_client.data()).await?;
            drop((ahead, from_client));
            tcp::move_all(client, stream, &counts).await
        };
        let ended = match idle {
            None => moving.await,
            Some(idle) => until_idle(moving, &counts, idle).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "tunnel ended");
        }
        (received + counts.received.get(), sent + counts.sent.get())
    }
}

async fn until_idle(
    moving: impl Future<Output = io::Result<()>>,
    counts: &Counts,
    idle: Duration,
) -> io::Result<()> {
    let mut moving = pin!(moving);
    let mut tick = tokio::time::interval(idle / CHECKS);
    tick.tick().await;
    let (mut moved, mut quiet) = (0, 0);
    while quiet < CHECKS {
        tokio::select! {
            ended = &mut moving => return ended,
            _ = tick.tick() => {
                let total = counts.received.get() + counts.sent.get();
                quiet = if total == moved { quiet + 1 } else { 0 };
                moved = total;
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "nothing moved for too long",
    ))
}
