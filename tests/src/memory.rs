//! What a process holds of memory, as the kernel counts it.

use anyhow::{Context, Result};

/// Memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now, in KiB.
    pub resident_kib: u64,
    /// The most that was resident since [`forget_peak`], in KiB.
    pub peak_kib: u64,
}

impl Memory {
    /// That of a process.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(process: i64) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            Ok(number.context("a line of /proc/…/status")?.parse()?)
        };
        Ok(Self {
            resident_kib: field("VmRSS:")?,
            peak_kib: field("VmHWM:")?,
        })
    }
}

/// Starts the peak of a process anew; gives what is resident now, in KiB.
///
/// # Errors
/// It is gone.
pub fn forget_peak(process: i64) -> Result<u64> {
    // Source: proc(5), `clear_refs`.
    std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    Ok(Memory::of(process)?.resident_kib)
}
