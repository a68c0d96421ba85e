//! A client that sends exactly the bytes it is given.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::upstream::body;

/// An answer as it came; the names of headers in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// 0 when the connection ended without an answer.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub(crate) body: usize,
}

/// A connection that is opened again when it was closed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            open: None,
        }
    }

    /// Sends a request and reads its answer, over the connection of the last one if it is still open.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        let is_head = request.starts_with(b"HEAD ");
        let reused = self.open.is_some();
        match self.exchange(request, is_head) {
            // Closed meanwhile: the request was not taken.
            Ok(None) if reused => self.exchange(request, is_head),
            other => other,
        }
        .ok()
        .flatten()
        .unwrap_or_default()
    }

    fn exchange(&mut self, request: &[u8], is_head: bool) -> io::Result<Option<Answer>> {
        let mut stream = if let Some(stream) = self.open.take() {
            stream
        } else {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(15)))?;
            BufReader::new(stream)
        };
        if stream.get_mut().write_all(request).is_err() {
            return Ok(None);
        }
        let Some(answer) = read(&mut stream, is_head)? else {
            return Ok(None);
        };
        let closes = answer
            .headers
            .iter()
            .any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case("close"));
        if !closes && !request.windows(9).any(|part| part == b" HTTP/1.0") {
            self.open = Some(stream);
        }
        Ok(Some(answer))
    }
}

fn read(input: &mut impl BufRead, is_head: bool) -> io::Result<Option<Answer>> {
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(0) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    };
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.trim().parse().ok());
    let mut answer = Answer {
        status: status.unwrap_or_default(),
        ..Answer::default()
    };
    loop {
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        answer
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if !is_head && !matches!(answer.status, 204 | 304) {
        answer.body = body(&answer.headers, input).unwrap_or_default();
    }
    Ok(Some(answer))
}
