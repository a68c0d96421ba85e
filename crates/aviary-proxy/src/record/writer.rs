//! Writes log lines, on a thread of its own: whoever reads them may be slow.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aviary_mesh::access_log::LogSink;
use aviary_telemetry::access_log::{Moment, Texts};
use tokio::sync::{mpsc, oneshot};

use super::outbox::{Lines, Spares};

/// Batches that are written at once.
const BATCHES: usize = 16;

/// Bytes kept for the next lines of a sink; a burst may have needed more.
const KEPT: usize = 64 << 10;

/// A file that was moved away is found out this often.
const LOOK: Duration = Duration::from_secs(1);

/// What became of lines that were handed over.
#[derive(Debug, Default)]
pub(crate) struct Written {
    lines: AtomicU64,
    failed: AtomicU64,
}

impl Written {
    /// In the text form of `/stats`; `dropped` never reached the writer.
    pub(crate) fn text(&self, dropped: u64) -> String {
        let (lines, failed) = (
            self.lines.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        );
        format!(
            "access_log.lines: {lines}\naccess_log.failed: {failed}\naccess_log.dropped: {dropped}\n"
        )
    }
}

/// Starts the thread. It ends when the workers are gone and all is written; then `ended` is told.
///
/// # Errors
/// The system's, when it gives no thread.
pub(crate) fn start(
    lines: mpsc::Receiver<Lines>,
    spares: Spares,
    standard: bool,
) -> io::Result<(Arc<Written>, oneshot::Receiver<()>)> {
    let written = Arc::new(Written::default());
    let counts = Arc::clone(&written);
    let (end, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            run(lines, &spares, Outputs::new(standard), &counts);
            // Nobody waits when the proxy was dropped.
            let _ = end.send(());
        })?;
    Ok((written, ended))
}

fn run(mut lines: mpsc::Receiver<Lines>, spares: &Spares, mut outputs: Outputs, counts: &Written) {
    let mut moment = Moment::default();
    let mut batches = Vec::new();
    while lines.blocking_recv_many(&mut batches, BATCHES) > 0 {
        for batch in batches.drain(..) {
            for line in &batch {
                line.write(&mut moment, &mut outputs);
            }
            spares.give(batch);
        }
        outputs.write(counts);
    }
}

/// Everything that is written to.
struct Outputs {
    /// Whether standard output and error are.
    standard: bool,
    all: Vec<(LogSink, Output)>,
    warned: bool,
}

/// One sink.
#[derive(Default)]
struct Output {
    text: Vec<u8>,
    /// Lines in `text`.
    lines: u64,
    file: Option<Opened>,
}

/// An open file, and when it was last seen at its path.
struct Opened {
    file: File,
    inode: u64,
    seen: Instant,
}

impl Texts for Outputs {
    fn of(&mut self, sink: &LogSink) -> &mut Vec<u8> {
        let known = self.all.iter().position(|(known, _)| known == sink);
        let at = known.unwrap_or_else(|| {
            self.all.push((sink.clone(), Output::default()));
            self.all.len() - 1
        });
        let output = &mut self.all[at].1;
        output.lines += 1;
        &mut output.text
    }
}

impl Outputs {
    fn new(standard: bool) -> Self {
        Self {
            standard,
            all: Vec::new(),
            warned: false,
        }
    }

    fn write(&mut self, counts: &Written) {
        for (sink, output) in &mut self.all {
            if output.text.is_empty() {
                continue;
            }
            let lines = std::mem::take(&mut output.lines);
            match output.write(sink, self.standard) {
                Ok(()) => {
                    counts.lines.fetch_add(lines, Ordering::Relaxed);
                    self.warned = false;
                }
                Err(error) => {
                    output.file = None;
                    counts.failed.fetch_add(lines, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.warned, true) {
                        tracing::warn!(?sink, %error, "access log lines are lost");
                    }
                }
            }
            output.text.clear();
            output.text.shrink_to(KEPT);
        }
    }
}

impl Output {
    fn write(&mut self, sink: &LogSink, standard: bool) -> io::Result<()> {
        let bytes = &self.text[..];
        match sink {
            LogSink::Stdout | LogSink::Stderr if !standard => Ok(()),
            LogSink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            LogSink::Stderr => io::stderr().lock().write_all(bytes),
            LogSink::File(path) => {
                let path = Path::new(path);
                let opened = self.file.take().and_then(|it| it.in_place(path));
                let opened = match opened {
                    Some(opened) => opened,
                    None => Opened::new(path)?,
                };
                self.file.insert(opened).file.write_all(bytes)
            }
        }
    }
}

impl Opened {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self {
            inode: file.metadata()?.ino(),
            file,
            seen: Instant::now(),
        })
    }

    /// The same, unless the path leads elsewhere by now; the system is asked now and then.
    fn in_place(mut self, path: &Path) -> Option<Self> {
        if self.seen.elapsed() >= LOOK {
            let inode = std::fs::metadata(path).ok()?.ino();
            self.seen = Instant::now();
            return (inode == self.inode).then_some(self);
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(standard: bool) -> (Outputs, Written) {
        (Outputs::new(standard), Written::default())
    }

    #[test]
    fn write_to_a_file_that_was_moved_begins_another() {
        let folder = std::env::temp_dir().join(format!("aviary-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("access.log");
        let sink = LogSink::File(path.to_str().unwrap().to_owned());
        let (mut outputs, counts) = outputs(true);
        for text in ["one\n", "two\n"] {
            outputs.of(&sink).extend_from_slice(text.as_bytes());
            outputs.write(&counts);
        }
        std::fs::rename(&path, folder.join("old.log")).unwrap();
        let opened = outputs.all[0].1.file.as_mut().unwrap();
        opened.seen = opened.seen.checked_sub(LOOK).unwrap();
        outputs.of(&sink).extend_from_slice(b"three\n");
        outputs.write(&counts);
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text("old.log"), "one\ntwo\n");
        assert_eq!(text("access.log"), "three\n");
        assert!(
            counts
                .text(7)
                .contains("lines: 3\naccess_log.failed: 0\naccess_log.dropped: 7")
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn write_that_fails_is_counted_and_the_next_one_tried() {
        let sink = LogSink::File("/dev/full".to_owned());
        let (mut outputs, counts) = outputs(true);
        for failed in 1..=2 {
            for text in ["one\n", "two\n"] {
                outputs.of(&sink).extend_from_slice(text.as_bytes());
            }
            outputs.write(&counts);
            let want = format!("lines: 0\naccess_log.failed: {}\n", failed * 2);
            assert!(counts.text(0).contains(&want));
        }
    }
}
