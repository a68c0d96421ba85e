//! Init's loop: commands, children, output.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read};

use super::connection::Connection;
use super::container::{self, Place};
use super::log::{Lines, Log};
use super::protocol::{ContainerState, Exit, PodState, Reply, Request, Start};
use super::{Error, PodSpec};

pub(super) struct Init {
    home: PathBuf,
    folder: PathBuf,
    listener: UnixListener,
    signals: SignalFd,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    containers: BTreeMap<String, Container>,
    /// Programs run by request, with the connection that waits for their end.
    guests: BTreeMap<i32, u64>,
    changed: bool,
    stopping: bool,
}

struct Container {
    place: Option<Place>,
    state: ContainerState,
    outputs: Vec<(OwnedFd, Lines)>,
    log: Option<Log>,
}

/// What a descriptor in the poll set belongs to.
enum Source {
    Signals,
    Listener,
    Connection(u64),
    Output(String),
}

impl Init {
    pub(super) fn new(
        spec: &PodSpec,
        folder: &Path,
        listener: UnixListener,
    ) -> Result<Self, Error> {
        listener
            .set_nonblocking(true)
            .map_err(Error::io("cannot use `init.sock`"))?;
        let set: SigSet = [Signal::SIGCHLD, Signal::SIGTERM].into_iter().collect();
        set.thread_block()
            .map_err(Error::sys("cannot block signals"))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(Error::sys("cannot make a signal descriptor"))?;
        Ok(Self {
            home: spec.home.clone(),
            folder: folder.to_path_buf(),
            listener,
            signals,
            connections: BTreeMap::new(),
            next_connection: 0,
            containers: BTreeMap::new(),
            guests: BTreeMap::new(),
            changed: false,
            stopping: false,
        })
    }

    /// Serves until every container has ended after a SIGTERM, or a stop command came.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        while !(self.stopping && self.containers.values().all(|c| c.place.is_none())) {
            for source in self.wait()? {
                match source {
                    Source::Signals => self.handle_signals(),
                    Source::Listener => self.accept(),
                    Source::Connection(id) => {
                        if self.handle_connection(id) {
                            return Ok(());
                        }
                    }
                    Source::Output(name) => {
                        if let Some(container) = self.containers.get_mut(&name) {
                            container.drain();
                        }
                    }
                }
            }
            if std::mem::take(&mut self.changed) {
                self.publish();
            }
            self.connections.retain(|_, connection| !connection.closed);
        }
        Ok(())
    }

    fn wait(&self) -> Result<Vec<Source>, Error> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd(), self.listener.as_fd()];
        for (id, connection) in &self.connections {
            sources.push(Source::Connection(*id));
            fds.push(connection.fd());
        }
        for (name, container) in &self.containers {
            for (fd, _) in &container.outputs {
                sources.push(Source::Output(name.clone()));
                fds.push(fd.as_fd());
            }
        }
        let mut polled: Vec<_> = fds
            .into_iter()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(Error::sys("cannot wait for events")(error)),
        }
        let fired = polled.iter().map(|fd| fd.any().unwrap_or(true));
        Ok(sources
            .into_iter()
            .zip(fired)
            .filter_map(|(s, fired)| fired.then_some(s))
            .collect())
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Ok(connection) = Connection::new(stream) {
                self.connections.insert(self.next_connection, connection);
                self.next_connection += 1;
            }
        }
    }

    fn handle_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo == Signal::SIGTERM as u32 {
                self.stopping = true;
                for place in self.containers.values().filter_map(|c| c.place.as_ref()) {
                    let _ = killpg(place.pid, Signal::SIGTERM);
                }
            }
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::Exited(pid, code) => self.ended(pid, code, None),
                WaitStatus::Signaled(pid, signal, _) => {
                    self.ended(pid, 128 + signal as i32, Some(signal as i32));
                }
                WaitStatus::StillAlive => break,
                _ => {}
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: i32, signal: Option<i32>) {
        if let Some(id) = self.guests.remove(&pid.as_raw()) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.send(&Reply::Exit { code });
            }
            return;
        }
        let is_main = |c: &&mut Container| c.place.as_ref().is_some_and(|place| place.pid == pid);
        let Some(container) = self.containers.values_mut().find(is_main) else {
            return;
        };
        // What the main process leaves behind ends with it, as in a container.
        let _ = killpg(pid, Signal::SIGKILL);
        container.place = None;
        container.drain();
        container.state.exit = Some(Exit {
            finished_at: Timestamp::now(),
            code,
            signal,
            message: None,
        });
        self.changed = true;
    }

    /// Gives true if the pod is to end.
    fn handle_connection(&mut self, id: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let Some(line) = connection.read_line() else {
            return false;
        };
        let fds = std::mem::take(&mut connection.fds);
        let reply = match serde_json::from_slice(&line) {
            Err(error) => refused(format!("the request is not readable: {error}")),
            Ok(Request::Watch) => {
                connection.watches = true;
                let state = self.state();
                self.send(id, &state);
                return false;
            }
            Ok(Request::Start(start)) => self.start(&start, &fds),
            Ok(Request::Signal { name, signal }) => self.signal(&name, signal),
            Ok(Request::Exec { container, argv }) => match self.exec(&container, &argv, fds) {
                Ok(pid) => {
                    self.guests.insert(pid.as_raw(), id);
                    return false;
                }
                Err(reply) => reply,
            },
            Ok(Request::Stop) => {
                let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
                while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
                self.send(id, &Reply::Done);
                return true;
            }
        };
        self.send(id, &reply);
        false
    }

    fn send(&mut self, id: u64, message: &impl serde::Serialize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(message);
        }
    }

    fn start(&mut self, start: &Start, fds: &[OwnedFd]) -> Reply {
        if self
            .containers
            .get(&start.name)
            .is_some_and(|c| c.place.is_some())
        {
            return refused(format!("container `{}` runs already", start.name));
        }
        let container = Container::start(start, fds, &self.home, &self.folder);
        let message = container
            .state
            .exit
            .as_ref()
            .and_then(|exit| exit.message.clone());
        self.containers.insert(start.name.clone(), container);
        self.changed = true;
        message.map_or(Reply::Done, refused)
    }

    fn signal(&self, name: &str, signal: i32) -> Reply {
        let place = self
            .containers
            .get(name)
            .and_then(|container| container.place.as_ref());
        match (place, Signal::try_from(signal)) {
            (Some(place), Ok(signal)) => {
                let _ = killpg(place.pid, signal);
                Reply::Done
            }
            (None, Ok(_)) => Reply::Done,
            (_, Err(_)) => refused(format!("{signal} is no signal")),
        }
    }

    fn exec(&self, name: &str, argv: &[String], fds: Vec<OwnedFd>) -> Result<Pid, Reply> {
        let place = self
            .containers
            .get(name)
            .and_then(|container| container.place.as_ref())
            .ok_or_else(|| refused(format!("container `{name}` does not run")))?;
        container::exec(place, argv, fds).map_err(|error| {
            refused(format!(
                "cannot run `{}`: {error}",
                argv.first().map_or("", String::as_str)
            ))
        })
    }

    fn state(&self) -> PodState {
        let each = |(name, c): (&String, &Container)| (name.clone(), c.state.clone());
        PodState {
            containers: self.containers.iter().map(each).collect(),
        }
    }

    fn publish(&mut self) {
        let state = self.state();
        for connection in self
            .connections
            .values_mut()
            .filter(|connection| connection.watches)
        {
            connection.send(&state);
        }
    }
}

fn refused(message: String) -> Reply {
    Reply::Refused { message }
}

impl Container {
    fn start(start: &Start, fds: &[OwnedFd], home: &Path, folder: &Path) -> Self {
        let state = ContainerState {
            attempt: start.attempt,
            started_at: Timestamp::now(),
            exit: None,
        };
        let mut this = Self {
            place: None,
            state,
            outputs: Vec::new(),
            log: None,
        };
        let spawned = Log::begin(&start.log, start.attempt).and_then(|log| {
            this.log = Some(log);
            container::spawn(start, fds, home, folder)
        });
        match spawned {
            Ok(spawned) => {
                this.outputs = vec![
                    (spawned.stdout, Lines::new("stdout")),
                    (spawned.stderr, Lines::new("stderr")),
                ];
                this.place = Some(Place {
                    pid: spawned.pid,
                    env: start.env.clone(),
                    cwd: start.cwd.clone(),
                    sidecar: start.sidecar,
                });
            }
            Err(error) => this.state.exit = Some(failed(start, &error)),
        }
        this
    }

    /// Moves output to the log until there is none for now.
    fn drain(&mut self) {
        let Some(log) = &mut self.log else { return };
        let mut buffer = [0_u8; 16 * 1024];
        self.outputs.retain_mut(|(fd, lines)| {
            loop {
                match read(&*fd, &mut buffer) {
                    Ok(0) => break,
                    Ok(count) => lines.push(log, buffer.get(..count).unwrap_or_default()),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return true,
                    Err(_) => break,
                }
            }
            lines.finish(log);
            false
        });
    }
}

fn failed(start: &Start, error: &io::Error) -> Exit {
    let program = start.argv.first().map_or("", String::as_str);
    Exit {
        finished_at: Timestamp::now(),
        code: 128,
        signal: None,
        message: Some(format!("cannot run `{program}`: {error}")),
    }
}
