//! The process' allocator: jemalloc, told to give memory back soon after a burst.
//!
//! CPU per request is that of glibc's allocator; memory after a load of thousands of connections is
//! a quarter of it, because freed pages go back instead of staying with the threads.

use std::ffi::c_char;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static JEMALLOC: Jemalloc = Jemalloc;

/// Freed pages go back within a tenth of a second, so that neither a burst of connections nor a new
/// configuration is held for long; two arenas, because a proxy has few threads and each arena
/// keeps pages of its own.
const OPTIONS: &std::ffi::CStr = c"dirty_decay_ms:100,muzzy_decay_ms:0,narenas:2";

/// jemalloc reads its options from this symbol before `main`.
#[expect(unsafe_code, reason = "the library looks its options up by this name")]
// SAFETY: the library declares the symbol weak and as a pointer to a text that ends with zero; this
// is its only definition, and the text is static.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: Option<&'static c_char> = Some(unsafe { &*OPTIONS.as_ptr() });

/// Gives freed pages back also while the process is idle, by a thread of the allocator.
///
/// Not from the start: a process that has a second thread cannot enter a mount namespace.
pub(crate) fn give_back_when_idle() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "freed memory goes back at the next use of memory only");
    }
}
