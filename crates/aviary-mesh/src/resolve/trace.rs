//! Where the reasons of a decision go; costs nothing when nobody asks.

/// Takes reasons as they come up.
pub trait Trace {
    /// Somebody asks.
    const WANTED: bool;
    /// Takes one line; `line` is only called when it is wanted.
    fn note(&mut self, line: impl FnOnce() -> String);
}

/// Throws reasons away.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Trace for Silent {
    const WANTED: bool = false;

    fn note(&mut self, _line: impl FnOnce() -> String) {}
}

/// Keeps reasons.
#[derive(Debug, Clone, Default)]
pub struct Lines(Vec<String>);

impl Lines {
    /// What was noted, in order.
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

impl Trace for Lines {
    const WANTED: bool = true;

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.0.push(line());
    }
}
