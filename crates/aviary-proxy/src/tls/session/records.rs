//! Feeding rustls' state machine, the same for clients and servers.

use std::io;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// What came of some encrypted bytes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that are done with; the rest is to come again with what follows it.
    pub(super) used: usize,
    /// Bytes can be sent: the handshake is over.
    pub(super) established: bool,
    /// The other side sends nothing more.
    pub(super) ended: bool,
}

/// One side's connection.
pub(super) trait Drive {
    type Data;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Decrypts what is complete in `input` into `plain`. What must be sent is added to `out`, also
    /// before an error.
    fn drive(
        &mut self,
        input: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        let mut progress = Progress::default();
        loop {
            let UnbufferedStatus { mut discard, state } = self.process(&mut input[progress.used..]);
            let mut waits = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => progress.ended = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    progress.established = true;
                    waits = true;
                }
                Ok(_) => waits = true,
                Err(error) => {
                    self.last_words(out);
                    return Err(error);
                }
            }
            progress.used += discard;
            if waits {
                return Ok(progress);
            }
        }
    }

    /// Whether something is to be sent.
    fn speaks(&self) -> bool;

    /// Adds the alert that an error has made. rustls must not look at records any more then: what
    /// is incomplete is not at the place where it was.
    fn last_words(&mut self, out: &mut Vec<u8>) {
        while self.speaks() {
            match self.process(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while traffic.next_record().is_some() {}
                }
                _ => return,
            }
        }
    }

    /// Encrypts `bytes` into `out`; the length of what is there then. `partial` is what came and
    /// is not complete.
    fn encrypt(&mut self, partial: &mut [u8], bytes: &[u8], out: &mut [u8]) -> io::Result<usize> {
        self.sending(partial, out, |traffic, out| traffic.encrypt(bytes, out))
    }

    /// Says that nothing more is sent.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is of one lifetime only"
    )]
    fn close(&mut self, partial: &mut [u8], out: &mut [u8]) -> io::Result<usize> {
        self.sending(partial, out, |traffic, out| traffic.queue_close_notify(out))
    }

    fn sending(
        &mut self,
        partial: &mut [u8],
        out: &mut [u8],
        send: impl FnOnce(&mut WriteTraffic<'_, Self::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        let mut length = 0;
        loop {
            match self.process(partial).state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let sent = send(&mut traffic, &mut out[length..]);
                    return sent.map(|sent| length + sent).map_err(io::Error::other);
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    length += data.encode(&mut out[length..]).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => {}
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut room = 4096;
    loop {
        out.resize(start + room, 0);
        match data.encode(&mut out[start..]) {
            Ok(length) => {
                out.truncate(start + length);
                return;
            }
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => {
                out.truncate(start);
                return;
            }
        }
    }
}

impl Drive for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn speaks(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(
        &'c mut self,
        input: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(input)
    }
}

impl Drive for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn speaks(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(
        &'c mut self,
        input: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(input)
    }
}
