//! Connections that stop being HTTP after status 101.

use std::any::Any;

use tokio::io::AsyncWriteExt as _;

use super::buffer::Buffer;
use crate::stream::Stream;

/// The endpoint's side of a tunnel.
pub(crate) struct Tunnel {
    stream: Stream,
    /// Bytes that came behind the 101.
    ahead: Buffer,
    /// Given back when the tunnel ends.
    held: Vec<Box<dyn Any>>,
}

impl Tunnel {
    pub(crate) fn new(stream: Stream, ahead: Buffer, held: impl Any) -> Self {
        Self {
            stream,
            ahead,
            held: vec![Box::new(held)],
        }
    }

    /// Holds something until the tunnel ends.
    pub(crate) fn holding(mut self, held: impl Any) -> Self {
        self.held.push(Box::new(held));
        self
    }

    /// Passes bytes both ways until both sides have ended; gives how many came from the client,
    /// and how many went to it.
    pub(crate) async fn run(mut self, mut client: Stream, from_client: Buffer) -> (u64, u64) {
        let mut begin = async || {
            client.write_all(self.ahead.data()).await?;
            self.stream.write_all(from_client.data()).await?;
            tokio::io::copy_bidirectional(&mut client, &mut self.stream).await
        };
        let (sent, received) = (self.ahead.len() as u64, from_client.len() as u64);
        match begin().await {
            Ok((up, down)) => (received + up, sent + down),
            Err(error) => {
                tracing::debug!(%error, "tunnel ended");
                (received, sent)
            }
        }
    }
}
