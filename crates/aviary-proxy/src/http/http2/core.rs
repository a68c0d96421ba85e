//! A connection as its streams and the owner of its socket share it.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use aviary_http::http2::{Config, Connection, Memory};

/// Outputs that are kept for later, per thread.
const KEPT: usize = 32;

/// Largest output that is kept, in bytes.
const OUTPUT_KEPT: usize = 64 << 10;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
    static OUTPUTS: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

/// Does something with the memory that all connections of the thread share.
pub(super) fn with_memory<T>(run: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with_borrow_mut(run)
}

/// A connection that is shared.
pub(super) type Shared = Rc<RefCell<Core>>;

/// A connection, and who waits for what on it.
#[derive(Debug)]
pub(super) struct Core {
    connection: Connection,
    /// The tasks of the streams, by key.
    wakers: Vec<Option<Waker>>,
    /// Tasks that wait until another stream can be opened.
    starters: Vec<Waker>,
    owner: Option<Waker>,
    /// The owner was woken and has not run yet.
    is_called: bool,
    /// The output has memory.
    has_output: bool,
}

impl Core {
    pub(super) fn new(config: &Config) -> Shared {
        Rc::new(RefCell::new(Self {
            connection: Connection::new(config),
            wakers: Vec::new(),
            starters: Vec::new(),
            owner: None,
            is_called: false,
            has_output: true,
        }))
    }

    /// The connection, to look at.
    pub(super) fn get(&self) -> &Connection {
        &self.connection
    }

    /// The connection, to do something; [`Self::done`] must follow.
    pub(super) fn act(&mut self) -> &mut Connection {
        if !std::mem::replace(&mut self.has_output, true)
            && let Some(mut kept) = OUTPUTS.with_borrow_mut(Vec::pop)
        {
            self.connection.swap_output(&mut kept);
        }
        &mut self.connection
    }

    /// The connection, to do something that has nothing to say; [`Self::done`] must follow.
    pub(super) fn arrange(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Calls those that are concerned by what was done; says whether these were streams.
    pub(super) fn done(&mut self) -> bool {
        let mut woke = false;
        while let Some(key) = self.connection.next_woken() {
            if let Some(Some(waker)) = self.wakers.get(key) {
                waker.wake_by_ref();
                woke = true;
            }
        }
        if self.connection.take_freed() {
            for starter in self.starters.drain(..) {
                starter.wake();
            }
        }
        if self.connection.wants_turn() {
            self.call_owner();
        }
        woke
    }

    /// Gives the memory of the output back when all of it was written.
    pub(super) fn rest(&mut self) {
        if self.has_output && self.connection.output().is_empty() {
            self.has_output = false;
            let mut memory = Vec::new();
            self.connection.swap_output(&mut memory);
            if (1..=OUTPUT_KEPT).contains(&memory.capacity()) {
                OUTPUTS.with_borrow_mut(|kept| {
                    if kept.len() < KEPT {
                        kept.push(memory);
                    }
                });
            }
        }
    }

    /// Wakes the owner of the socket.
    pub(super) fn call_owner(&mut self) {
        if !std::mem::replace(&mut self.is_called, true)
            && let Some(owner) = &self.owner
        {
            owner.wake_by_ref();
        }
    }

    /// The owner runs.
    pub(super) fn owner_runs(&mut self, cx: &Context<'_>) {
        self.is_called = false;
        listen(&mut self.owner, cx);
    }

    /// The stream's task is to be woken when something happens to it.
    pub(super) fn listen(&mut self, key: usize, cx: &Context<'_>) {
        if key >= self.wakers.len() {
            self.wakers.resize_with(key + 1, || None);
        }
        listen(&mut self.wakers[key], cx);
    }

    /// The task is to be woken when another stream may be opened.
    pub(super) fn listen_for_room(&mut self, cx: &Context<'_>) {
        self.starters.push(cx.waker().clone());
    }

    /// The stream's task wants to hear nothing more.
    pub(super) fn forget(&mut self, key: usize) {
        if let Some(waker) = self.wakers.get_mut(key) {
            *waker = None;
        }
        if self.connection.held_streams() == 0 {
            self.wakers = Vec::new();
        }
    }
}

fn listen(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(known) if known.will_wake(cx.waker()) => {}
        other => *other = Some(cx.waker().clone()),
    }
}
