//! The only module that prints: data on stdout, talk on stderr.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Prints data.
pub(crate) fn data(text: &str) {
    // A closed pipe is the reader's wish to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints raw data, as it is.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints a remark. Nobody may be listening any more.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// From now on remarks go to a file: the process that started this one is gone.
pub(crate) fn detach(log: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)?;
    nix::unistd::dup2_stderr(&file)?;
    Ok(())
}

/// Prints part of a line.
fn part(text: &str) {
    let mut err = std::io::stderr();
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

/// Prints a failure with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("{} {error}", paint("error:", "31;1")));
    for cause in error.chain().skip(1) {
        note(&format!("  because: {cause}"));
    }
}

/// Colours `text` when stderr is a terminal that wants it.
pub(crate) fn paint(text: &str, code: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// One phase of a long job, told when it begins (on a terminal) and when it ends.
pub(crate) struct Phase {
    name: String,
    started: Instant,
    live: bool,
}

impl Phase {
    /// Begins.
    pub(crate) fn begin(name: &str) -> Self {
        let live = std::io::stderr().is_terminal();
        if live {
            part(&format!("  {} {name} …", paint("·", "2")));
        }
        Self {
            name: name.to_owned(),
            started: Instant::now(),
            live,
        }
    }

    /// Replaces the text of the running phase on a terminal.
    pub(crate) fn progress(&self, detail: &str) {
        if self.live {
            part(&format!(
                "\r\x1b[K  {} {} … {detail}",
                paint("·", "2"),
                self.name
            ));
        }
    }

    /// Ends well.
    pub(crate) fn done(self, detail: &str) {
        let start = if self.live { "\r\x1b[K" } else { "" };
        let took = seconds(self.started.elapsed());
        note(&format!(
            "{start}  {} {}  {detail} {}",
            paint("✓", "32;1"),
            self.name,
            paint(&format!("({took})"), "2")
        ));
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
