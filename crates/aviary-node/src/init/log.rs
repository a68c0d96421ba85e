//! A container's log: lines with time and stream, two files at most.
//!
//! Source: the log format of the Kubernetes Container Runtime Interface (`<time> <stream> <F|P> <text>`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Size at which a log starts a new file; the file before is kept. Source: kubelet's `containerLogMaxSize`.
const LIMIT_BYTES: u64 = 10 * 1024 * 1024;
/// Longest line kept whole; longer ones are split into parts. Source: the container runtimes' line buffer.
const LINE_BYTES: usize = 16 * 1024;

/// The file before, after a rotation.
pub(crate) fn rotated(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The log of the attempt before.
pub(crate) fn previous(log: &Path) -> PathBuf {
    log.with_extension("previous.log")
}

#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Log {
    /// Begins the log of an attempt and moves the one before aside.
    pub(super) fn begin(path: &Path, attempt: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if attempt > 0 && path.exists() {
            fs::rename(path, previous(path))?;
        }
        let _ = fs::remove_file(rotated(path));
        Ok(Self {
            path: path.to_path_buf(),
            file: File::create(path)?,
            written: 0,
        })
    }

    fn write(&mut self, stream: &str, tag: char, text: &[u8]) -> io::Result<()> {
        if self.written >= LIMIT_BYTES {
            fs::rename(&self.path, rotated(&self.path))?;
            self.file = File::create(&self.path)?;
            self.written = 0;
        }
        let mut line = format!("{:.9} {stream} {tag} ", Timestamp::now()).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.written += line.len() as u64;
        Ok(())
    }
}

/// What came from one output stream and is no whole line yet.
#[derive(Debug)]
pub(super) struct Lines {
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: &'static str) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Writes the whole lines of what was pending and `bytes`. A full disk loses lines, not the container.
    pub(super) fn push(&mut self, log: &mut Log, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        loop {
            let window = rest.get(..LINE_BYTES).unwrap_or(rest);
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                let _ = log.write(self.stream, 'F', rest.get(..end).unwrap_or_default());
                rest = rest.get(end + 1..).unwrap_or_default();
            } else if window.len() == LINE_BYTES {
                let _ = log.write(self.stream, 'P', window);
                rest = rest.get(LINE_BYTES..).unwrap_or_default();
            } else {
                break;
            }
        }
        self.pending = rest.to_vec();
    }

    /// Writes what is left at the end of the stream.
    pub(super) fn finish(&mut self, log: &mut Log) {
        if !self.pending.is_empty() {
            let rest = std::mem::take(&mut self.pending);
            let _ = log.write(self.stream, 'F', &rest);
        }
    }
}
