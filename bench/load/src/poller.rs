//! Level-triggered epoll without copies of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// How many events one wait may report.
const BATCH: usize = 512;

/// Waits for sockets, each known by a number.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// The number it was added with.
    pub(crate) key: usize,
    /// Reading gives bytes, an end or an error.
    pub(crate) read: bool,
    /// Writing takes bytes.
    pub(crate) write: bool,
}

impl Poller {
    /// A poller without sockets.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(BATCH),
        })
    }

    /// Reports `socket` as `key` when it can be read and, if asked for, written.
    pub(crate) fn add(&self, socket: impl AsFd, key: usize, write: bool) -> Result<()> {
        epoll::add(&self.epoll, socket, data(key), flags(write))?;
        Ok(())
    }

    /// Changes whether being ready to write is reported.
    pub(crate) fn watch_write(&self, socket: impl AsFd, key: usize, write: bool) -> Result<()> {
        epoll::modify(&self.epoll, socket, data(key), flags(write))?;
        Ok(())
    }

    /// Waits at most `timeout` (for ever without one) and fills `ready` with what happened.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let (key, flags) = (event.data.u64(), event.flags);
            ready.push(Ready {
                key: usize::try_from(key)?,
                read: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                write: flags.contains(EventFlags::OUT),
            });
        }
        Ok(())
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}

fn flags(write: bool) -> EventFlags {
    if write {
        EventFlags::IN | EventFlags::OUT
    } else {
        EventFlags::IN
    }
}
