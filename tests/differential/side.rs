//! One of the two proxies.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use crate::client::{Client, Speech};

/// Longest wait for a proxy to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is right unless a difference says otherwise.
    Envoy,
    Ours,
}

impl Which {
    /// What its requests carry.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Ours => "ours",
        }
    }

    fn command(self) -> Command {
        // It ends with the thread that started it, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        match self {
            Self::Envoy => {
                command.arg(program("AVIARY_TEST_ENVOY", "envoy"));
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
                command.args(["--file-flush-interval-msec", "50", "-c"]);
            }
            Self::Ours => {
                command.arg(program("AVIARY_TEST_PROGRAMS", "").join("aviary"));
                command.args(["proxy", "--workers", "1", "--log-level", "warn", "--config"]);
            }
        }
        command
    }
}

fn program(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(otherwise), PathBuf::from)
}

/// Lines of the access log by the id that they begin with.
type Log = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) which: Which,
    listen: Vec<SocketAddr>,
    log: Log,
    process: Child,
    folder: PathBuf,
}

impl Side {
    /// Starts one that has `count` addresses to listen on, with the file that `config` makes of them.
    pub(crate) fn start(
        which: Which,
        count: usize,
        config: impl Fn(&[SocketAddr]) -> Value,
    ) -> Self {
        let listen = free(count);
        let folder = std::env::temp_dir().join(format!("aviary-differential-{}", listen[0].port()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("proxy.json");
        let text = serde_json::to_string_pretty(&config(&listen)).expect("JSON");
        std::fs::write(&file, text).expect("a file");
        let mut process = which
            .command()
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let log = Log::default();
        if let Some(out) = process.stdout.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Some((id, rest)) = line.split_once('\t') {
                        let mut log = log.lock();
                        log.entry(id.to_owned()).or_default().push(rest.to_owned());
                    }
                }
            });
        }
        let mut side = Self {
            which,
            listen,
            log,
            process,
            folder,
        };
        side.wait();
        side
    }

    /// A client that comes in by the way of this number.
    pub(crate) fn client(&self, speech: Speech, way: usize) -> Client {
        Client::new(speech, self.listen[way])
    }

    /// The access log's lines for a request, sorted.
    pub(crate) fn log(&self, id: &str) -> Vec<String> {
        let mut lines = self.log.lock().get(id).cloned().unwrap_or_default();
        lines.sort();
        lines
    }

    /// How many lines the access log has.
    pub(crate) fn lines(&self) -> usize {
        self.log.lock().values().map(Vec::len).sum()
    }

    fn wait(&mut self) {
        let start = Instant::now();
        let refused = |address: &SocketAddr| TcpStream::connect(address).is_err();
        while self.listen.iter().any(refused) {
            let ended = self.process.try_wait().expect("a process of ours");
            let (which, folder) = (self.which, self.folder.display());
            assert!(ended.is_none(), "{which:?} ended: {ended:?}; see {folder}");
            assert!(start.elapsed() < PATIENCE, "{which:?} does not listen");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Addresses that were free a moment ago.
fn free(count: usize) -> Vec<SocketAddr> {
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let held: Vec<_> = (0..count).map(|_| bind()).collect();
    held.iter()
        .map(|listener| listener.local_addr().expect("bound"))
        .collect()
}
