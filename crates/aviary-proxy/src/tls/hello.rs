//! Reading the first message of a TLS client, without answering it.

/// Longest first message that is read, in bytes. Source: Envoy `TlsInspector` (16 KiB).
const LIMIT: usize = 16 << 10;

const RECORD_HEAD: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What a client says first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The server that it wants, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// The application protocols that it speaks, preferred ones first.
    pub(crate) alpn: Vec<String>,
}

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet: more bytes are needed.
    Undecided,
    /// TLS, with this first message.
    Hello(Hello),
    /// Not TLS.
    Other,
}

/// What `bytes`, the beginning of a connection, say.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match record(rest) {
            Record::Part if message.len() + rest.len() > LIMIT => return Verdict::Other,
            Record::Part => return Verdict::Undecided,
            Record::Other => return Verdict::Other,
            Record::Whole(fragment, after) => {
                message.extend_from_slice(fragment);
                rest = after;
            }
        }
        // A handshake message: type, length in three bytes, body.
        let [kind, high, middle, low, body @ ..] = message.as_slice() else {
            continue;
        };
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        if *kind != CLIENT_HELLO || length > LIMIT {
            return Verdict::Other;
        }
        if let Some(body) = body.get(..length) {
            return read(body).map_or(Verdict::Other, Verdict::Hello);
        }
    }
}

enum Record<'a> {
    Part,
    Whole(&'a [u8], &'a [u8]),
    Other,
}

/// The first record, when it is one of a handshake.
fn record(bytes: &[u8]) -> Record<'_> {
    // Type, version 3.x, length; as early as possible, so that other protocols do not wait.
    let wrong = |at: usize, good: fn(u8) -> bool| bytes.get(at).is_some_and(|it| !good(*it));
    if wrong(0, |it| it == HANDSHAKE) || wrong(1, |it| it == 3) || wrong(2, |it| it <= 4) {
        return Record::Other;
    }
    let Some((head, rest)) = bytes.split_at_checked(RECORD_HEAD) else {
        return Record::Part;
    };
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if length == 0 || length > LIMIT {
        return Record::Other;
    }
    match rest.split_at_checked(length) {
        Some((fragment, after)) => Record::Whole(fragment, after),
        None => Record::Part,
    }
}

/// Reads forward in a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes after their length in one byte.
    fn of_byte(&mut self) -> Option<&'a [u8]> {
        let count = usize::from(*self.take(1)?.first()?);
        self.take(count)
    }

    /// Bytes after their length in two bytes.
    fn of_short(&mut self) -> Option<&'a [u8]> {
        let count = usize::from(self.short()?);
        self.take(count)
    }
}

/// Source: RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1.
fn read(body: &[u8]) -> Option<Hello> {
    let mut cursor = Cursor(body);
    // Version, random, session, suites, compression.
    cursor.take(2 + 32)?;
    cursor.of_byte()?;
    cursor.of_short()?;
    cursor.of_byte()?;
    let mut hello = Hello::default();
    if cursor.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Cursor(cursor.of_short()?);
    while !extensions.0.is_empty() {
        let kind = extensions.short()?;
        let body = extensions.of_short()?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(body)?,
            ALPN => hello.alpn = protocols(body)?,
            _ => {}
        }
    }
    Some(hello)
}

#[expect(
    clippy::option_option,
    reason = "a broken extension is not one without a name"
)]
fn server_name(body: &[u8]) -> Option<Option<Box<str>>> {
    let mut names = Cursor(Cursor(body).of_short()?);
    let kind = *names.take(1)?.first()?;
    let name = names.of_short()?;
    let good = |byte: &u8| byte.is_ascii_graphic();
    if kind != 0 || name.is_empty() || !name.iter().all(good) {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?;
    Some(Some(text.to_ascii_lowercase().into()))
}

fn protocols(body: &[u8]) -> Option<Vec<String>> {
    let mut list = Cursor(Cursor(body).of_short()?);
    let mut found = Vec::new();
    while !list.0.is_empty() {
        let name = list.of_byte()?;
        // Names are bytes; what is no text cannot be configured, so nothing can match it.
        found.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(found)
}

#[cfg(test)]
mod tests;
