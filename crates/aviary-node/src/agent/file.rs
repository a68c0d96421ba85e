//! Files that others read while they are replaced.

use std::fs;
use std::io;
use std::path::Path;

/// Replaces `path` in one step.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)
}
