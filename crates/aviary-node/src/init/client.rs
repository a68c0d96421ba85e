//! The other side of a pod's init: used by the agent (async) and by the command line (blocking).

use std::io::{BufRead, BufReader, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::AsyncBufReadExt;

use super::Error;
use super::protocol::{PodState, Reply, Request};

/// Runs `argv` in a container with the three standard streams `fds` and waits for its exit code.
pub(crate) fn exec(
    socket: &Path,
    container: &str,
    argv: &[String],
    fds: &[OwnedFd],
) -> Result<i32, Error> {
    let request = Request::Exec {
        container: container.to_owned(),
        argv: argv.to_vec(),
    };
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let stream = send(socket, &request, &raw)?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .map_err(Error::io("cannot read the answer"))?;
    match parse(&line)? {
        Reply::Exit { code } => Ok(code),
        Reply::Done => Ok(0),
        Reply::Refused { message } => Err(Error::Refused(message)),
    }
}

/// Sends `request` and waits for its answer.
pub(crate) async fn call(socket: &Path, request: Request, fds: Vec<RawFd>) -> Result<Reply, Error> {
    let stream = send(socket, &request, &fds)?;
    let stream = into_tokio(stream)?;
    let mut line = String::new();
    tokio::io::BufReader::new(stream)
        .read_line(&mut line)
        .await
        .map_err(Error::io("cannot read the answer"))?;
    match parse(&line)? {
        Reply::Refused { message } => Err(Error::Refused(message)),
        reply => Ok(reply),
    }
}

/// A pod's states, the present one first.
#[derive(Debug)]
pub(crate) struct Watch {
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::net::UnixStream>>,
}

impl Watch {
    pub(crate) fn open(socket: &Path) -> Result<Self, Error> {
        let stream = into_tokio(send(socket, &Request::Watch, &[])?)?;
        Ok(Self {
            lines: tokio::io::BufReader::new(stream).lines(),
        })
    }

    /// The next state; an error means that init is gone. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<PodState, Error> {
        let line = self
            .lines
            .next_line()
            .await
            .map_err(Error::io("cannot read the pod's state"))?;
        let line = line.ok_or(Error::Gone)?;
        serde_json::from_str(&line)
            .map_err(|error| Error::io("the pod's state is not readable")(error.into()))
    }
}

fn into_tokio(stream: UnixStream) -> Result<tokio::net::UnixStream, Error> {
    stream
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixStream::from_std(stream))
        .map_err(Error::io("cannot use the pod's socket"))
}

fn parse(line: &str) -> Result<Reply, Error> {
    if line.is_empty() {
        return Err(Error::Gone);
    }
    serde_json::from_str(line)
        .map_err(|error| Error::io("the answer is not readable")(error.into()))
}

/// Connects and sends; blocks only while init is busy with another command, that is for milliseconds.
fn send(socket: &Path, request: &Request, fds: &[RawFd]) -> Result<UnixStream, Error> {
    let what = || {
        Error::io(format!(
            "cannot reach the pod's init at `{}`",
            socket.display()
        ))
    };
    let stream = connect(socket).map_err(what())?;
    let mut line = serde_json::to_vec(request).map_err(|error| what()(error.into()))?;
    line.push(b'\n');
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let mut rest = line.as_slice();
    let mut control = control;
    while !rest.is_empty() {
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(rest)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(|error| what()(error.into()))?;
        rest = rest.get(sent..).unwrap_or_default();
        control = &[];
    }
    Ok(stream)
}

/// Connects by the folder's descriptor, because a socket's path may have 107 bytes at most.
fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return UnixStream::connect(socket);
    };
    let folder = std::fs::File::open(folder)?;
    UnixStream::connect(PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}
