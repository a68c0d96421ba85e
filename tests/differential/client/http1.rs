//! A client that sends exactly the bytes it is given.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::message::{Answer, field, text};
use crate::server::http1::{body, fields, head};

/// Whoever waits longer for an answer has none.
const PATIENCE: Duration = Duration::from_secs(20);

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
        let reused = self.open.is_some();
        match self.exchange(request) {
            // Closed meanwhile: the request was not taken.
            Ok(None) if reused => self.exchange(request),
            other => other,
        }
        .ok()
        .flatten()
        .unwrap_or_default()
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Option<Answer>> {
        let mut stream = if let Some(stream) = self.open.take() {
            stream
        } else {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            BufReader::new(stream)
        };
        if stream.get_mut().write_all(request).is_err() {
            return Ok(None);
        }
        let head = loop {
            match head(&mut stream) {
                None => return Ok(None),
                // Only that the answer is still to come.
                Some(head)
                    if head
                        .first()
                        .is_some_and(|it| it.starts_with("HTTP/1.1 100")) => {}
                Some(head) => break head,
            }
        };
        let answer = read(head, request.starts_with(b"HEAD "), &mut stream);
        let told = field(&answer.headers, "connection").unwrap_or_default();
        let is_old = request.windows(9).any(|part| part == b" HTTP/1.0");
        if is_old || told.eq_ignore_ascii_case("close") {
            return Ok(Some(answer));
        }
        self.open = Some(stream);
        Ok(Some(answer))
    }
}

fn read(head: Vec<String>, is_head: bool, stream: &mut BufReader<TcpStream>) -> Answer {
    let mut lines = head.into_iter();
    let line = lines.next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    let mut answer = Answer {
        status: status.unwrap_or_default(),
        headers: fields(lines).into_iter().map(lower).collect(),
        ..Answer::default()
    };
    if is_head || matches!(answer.status, 204 | 304) {
        return answer;
    }
    let framed = ["transfer-encoding", "content-length"];
    if framed.iter().all(|it| field(&answer.headers, it).is_none()) {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        answer.body = text(&rest);
    } else if let Some((body, trailers)) = body(&answer.headers, stream) {
        answer.body = text(&body);
        answer.trailers = trailers;
    } else {
        answer.body = "(broken off)".to_owned();
    }
    answer
}
