//! The program's own code in memory.

use std::fs;
use std::path::Path;

/// Gives back the pages of code and constants that only the start needed.
///
/// What is needed still comes back from the file's cache by itself. The start reads descriptions of
/// configuration and translates names of symbols, which is most of the program.
pub(crate) fn forget_start() {
    let (Ok(maps), Ok(program)) = (
        fs::read_to_string("/proc/self/maps"),
        fs::read_link("/proc/self/exe"),
    ) else {
        return;
    };
    for (start, length) in maps.lines().filter_map(|line| unwritten(line, &program)) {
        forget(start, length);
    }
}

/// Start and length of a mapping of `program` that nobody ever wrote to: its code, and what is
/// before it from the start of the file. Tables that the loader writes to lie behind the code.
///
/// Source: `proc_pid_maps(5)`.
fn unwritten(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut words = line.split_whitespace();
    let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
    let file = words.nth(2)?;
    let from_start = u64::from_str_radix(offset, 16).ok()? == 0;
    let never_written = rights == "r-xp" || rights == "r--p" && from_start;
    if !never_written || Path::new(file) != program {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[expect(unsafe_code, reason = "a system call about memory that nobody owns")]
fn forget(start: usize, length: usize) {
    // SAFETY: the range is a private mapping of the program's file without rights to write, so its
    // pages have what the file has, and the system reads them again at the next access.
    let result = unsafe { libc::madvise(start as *mut _, length, libc::MADV_DONTNEED) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "pages of code stay in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwritten_is_code_and_what_is_before_it() {
        let program = Path::new("/bin/a");
        let line = |rights: &str, offset: &str, file: &str| {
            let line = format!("1000-3000 {rights} {offset} fe:00 247030    {file}");
            unwritten(&line, program)
        };
        assert_eq!(line("r-xp", "00002000", "/bin/a"), Some((0x1000, 0x2000)));
        assert_eq!(line("r--p", "00000000", "/bin/a"), Some((0x1000, 0x2000)));
        assert_eq!(line("r--p", "00009000", "/bin/a"), None);
        assert_eq!(line("rw-p", "00000000", "/bin/a"), None);
        assert_eq!(line("r-xp", "00002000", "/lib/b.so"), None);
        assert_eq!(unwritten("1000-3000 r-xp 0 00:00 0", program), None);
    }

    #[test]
    fn forget_start_lets_the_program_go_on() {
        forget_start();
        assert_eq!("a,b".split(',').count(), 2);
    }
}
