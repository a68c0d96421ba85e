//! Reading a log that may still grow.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::Body;
use super::format::{Formatter, Options, tail};
use crate::init::client::Watch;
use crate::init::{previous_log, rotated_log};

/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Reader {
    log: PathBuf,
    socket: PathBuf,
    container: String,
    file: Option<File>,
    formatter: Formatter,
    follow: bool,
    /// Read, but no whole line yet.
    pending: Vec<u8>,
    /// What stood there when the reader came.
    first: Option<Vec<u8>>,
}

/// The log as a body: what is there now, and, when followed, what comes until the container ends.
pub(super) fn body(log: PathBuf, socket: PathBuf, container: String, options: Options) -> Body {
    let follow = options.follow && !options.previous;
    let opened = open(&log, &options);
    let (first, file) = match opened {
        Ok((first, file)) => (Some(first), file),
        Err(error) => {
            tracing::warn!(%error, log = %log.display(), "cannot read a log");
            (None, None)
        }
    };
    let reader = Reader {
        log,
        socket,
        container,
        file,
        formatter: Formatter::new(options),
        follow,
        pending: Vec::new(),
        first,
    };
    let chunks = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let chunk = reader.next().await?;
        let frame = Frame::data(Bytes::from(chunk));
        Some((Ok::<_, Infallible>(frame), Some(reader)))
    });
    StreamBody::new(chunks).boxed()
}

/// The present content and the file for what follows.
fn open(log: &Path, options: &Options) -> io::Result<(Vec<u8>, Option<File>)> {
    if options.previous {
        return Ok((cut(fs::read(previous_log(log))?, options), None));
    }
    let mut content = fs::read(rotated_log(log)).unwrap_or_default();
    let mut file = File::open(log)?;
    let mut present = Vec::new();
    file.read_to_end(&mut present)?;
    // A line that is being written is left for the next look.
    let whole = present
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    file.seek(SeekFrom::Start(whole as u64))?;
    present.truncate(whole);
    content.append(&mut present);
    Ok((cut(content, options), Some(file)))
}

fn cut(content: Vec<u8>, options: &Options) -> Vec<u8> {
    match options.tail {
        Some(count) => tail(&content, count).to_vec(),
        None => content,
    }
}

impl Reader {
    /// The next output; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            let output = self.formatter.format(&first);
            if !output.is_empty() {
                return Some(output);
            }
        }
        while self.follow && !self.formatter.is_full() {
            // Asked before the last look, so that nothing written before the end is missed.
            let ended = self.has_ended().await;
            let fresh = self.read_more();
            let output = self.formatter.format(&fresh);
            if !output.is_empty() {
                return Some(output);
            }
            if ended {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    fn read_more(&mut self) -> Vec<u8> {
        if let Some(file) = &mut self.file {
            // An unreadable file gives no more lines; the end of the container ends the stream.
            let _ = file.read_to_end(&mut self.pending);
        }
        if self.was_replaced() {
            self.file = File::open(&self.log).ok();
            if let Some(file) = &mut self.file {
                let _ = file.read_to_end(&mut self.pending);
            }
        }
        let whole = self
            .pending
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.pending.drain(..whole).collect()
    }

    fn was_replaced(&self) -> bool {
        let now = fs::metadata(&self.log).map(|meta| meta.ino()).ok();
        let open = self
            .file
            .as_ref()
            .and_then(|file| file.metadata().ok())
            .map(|meta| meta.ino());
        now.is_some() && now != open
    }

    async fn has_ended(&self) -> bool {
        let Ok(mut states) = Watch::open(&self.socket) else {
            return true;
        };
        let Ok(state) = states.next().await else {
            return true;
        };
        state
            .containers
            .get(&self.container)
            .is_none_or(|container| container.exit.is_some())
    }
}
