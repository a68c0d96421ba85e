//! The server behind a proxy: it keeps every byte that arrives, and says what a test wants.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use socket2::SockRef;

use crate::standalone::free_address;

/// What one connection brought.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// A server on loopback; it is gone when the value is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    heard: Mutex<Vec<Bytes>>,
    /// The connections that are open; whoever serves one holds it.
    streams: Mutex<Vec<Weak<TcpStream>>>,
}

impl Origin {
    /// Calls `serve` with each connection, on a thread of its own.
    ///
    /// # Errors
    /// There is no free address.
    pub fn start(serve: impl Fn(Conversation) + Send + Sync + 'static) -> Result<Self> {
        Self::start_at(free_address()?, serve)
    }

    /// As [`Self::start`], at an address that a former one had.
    ///
    /// # Errors
    /// The address is not free.
    pub fn start_at(
        address: SocketAddr,
        serve: impl Fn(Conversation) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        // Attacks open many connections at once; the standard library lets 128 wait.
        SockRef::from(&listener).listen(4096)?;
        let state = Arc::new(State::default());
        let (shared, serve) = (state.clone(), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let _ = stream.set_nodelay(true);
                let stream = Arc::new(stream);
                let heard = Bytes::default();
                shared.heard.lock().push(heard.clone());
                shared.streams.lock().push(Arc::downgrade(&stream));
                let serve = serve.clone();
                let number = shared.heard.lock().len();
                std::thread::spawn(move || {
                    serve(Conversation {
                        stream,
                        heard,
                        number,
                        kept: true,
                        read: Vec::new(),
                    });
                });
            }
        });
        Ok(Self {
            address,
            state,
            thread: Some(thread),
        })
    }

    /// One that answers every request 200 with its body, or `ok` when it has none.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn echo() -> Result<Self> {
        Self::start(echo)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.state.heard.lock().len()
    }

    /// What arrived so far, connection by connection, as text.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.state.heard.lock();
        let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.lock()).into_owned();
        heard.iter().map(text).collect()
    }

    /// How often `text` arrived, whatever the connection.
    pub fn count(&self, text: &str) -> usize {
        let all = self.heard();
        all.iter().map(|bytes| bytes.matches(text).count()).sum()
    }

    /// How many bytes arrived.
    pub fn bytes(&self) -> usize {
        let heard = self.state.heard.lock();
        heard.iter().map(|bytes| bytes.lock().len()).sum()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let streams = self.state.streams.lock();
        for stream in streams.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// One connection from the proxy.
#[derive(Debug)]
pub struct Conversation {
    stream: Arc<TcpStream>,
    heard: Bytes,
    number: usize,
    /// Whether what arrives is kept.
    kept: bool,
    /// Read, and not taken yet.
    read: Vec<u8>,
}

impl Conversation {
    /// The number of this connection, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What arrives from now on is not kept.
    pub fn keep_nothing(&mut self) {
        self.kept = false;
    }

    /// Waits for more bytes; false when there are none to come.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match (&*self.stream).read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                if self.kept {
                    self.heard.lock().extend_from_slice(&buffer[..length]);
                }
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }

    /// The next request's head with its blank line, or what came of it; `None` at the end.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The body that this head announces; `None` when it ended early or makes no sense.
    pub fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        let head = head.to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            let mut body = Vec::new();
            self.chunks(|part| body.extend_from_slice(part))?;
            return Some(body);
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(Some(0), |text| text.trim().parse().ok())?;
        self.take(length)
    }

    /// As [`Self::body`], but gives only its length.
    pub fn discard_body(&mut self, head: &str) -> Option<usize> {
        let head = head.to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            let mut sum = 0;
            self.chunks(|part| sum += part.len())?;
            return Some(sum);
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(Some(0), |text| text.trim().parse().ok())?;
        let mut left: usize = length;
        while left > 0 {
            if self.read.is_empty() && !self.more() {
                return None;
            }
            let taken = self.read.len().min(left);
            self.read.drain(..taken);
            left -= taken;
        }
        Some(length)
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line = self.read.drain(..end + 2).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn chunks(&mut self, mut take: impl FnMut(&[u8])) -> Option<()> {
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).ok()?;
            if length == 0 {
                while !self.line()?.is_empty() {}
                return Some(());
            }
            take(&self.take(length)?);
            self.line()?;
        }
    }

    /// The next head with this text; what comes before is answered 200 `ok`. `None` at the end.
    pub fn head_with(&mut self, text: &str) -> Option<String> {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        loop {
            let head = self.head()?;
            if head.contains(text) {
                return Some(head);
            }
            self.body(&head)?;
            self.say(ok).ok()?;
        }
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The proxy closed the connection.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        (&*self.stream).write_all(bytes.as_ref())
    }

    /// Reads on until the proxy closes the connection.
    pub fn listen_to_end(&mut self) {
        while self.more() {
            self.read.clear();
        }
    }

    /// Ends the connection by RST.
    pub fn reset(self) {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Serves one connection as [`Origin::echo`] does.
pub fn echo(mut conversation: Conversation) {
    while let Some(head) = conversation.head() {
        let Some(body) = conversation.body(&head) else {
            return;
        };
        let body = if body.is_empty() {
            b"ok".to_vec()
        } else {
            body
        };
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if !head.starts_with("HEAD ") {
            answer.push_str(&String::from_utf8_lossy(&body));
        }
        if conversation.say(answer).is_err() {
            return;
        }
    }
}

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|part| part == needle)
}
