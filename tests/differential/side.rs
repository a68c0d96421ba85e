//! One of the two proxies, with upstream servers of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use crate::upstream::Upstreams;
use crate::wire::Client;

/// Longest wait for a proxy to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is right unless a difference says otherwise.
    Envoy,
    Ours,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) upstreams: Upstreams,
    listen: Vec<SocketAddr>,
    log: Arc<Mutex<HashMap<String, String>>>,
    process: Child,
    folder: PathBuf,
}

impl Side {
    /// Starts one with the file that `config` makes of `ways` addresses to listen on and the servers.
    pub(crate) fn start(
        which: Which,
        servers: &[&'static str],
        ways: usize,
        config: impl Fn(&[SocketAddr], &Upstreams) -> Value,
    ) -> Self {
        let upstreams = Upstreams::start(servers);
        let listen = free(ways);
        let folder = std::env::temp_dir().join(format!("aviary-differential-{}", listen[0].port()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("proxy.json");
        let text = serde_json::to_string_pretty(&config(&listen, &upstreams)).expect("JSON");
        std::fs::write(&file, text).expect("a file");
        let mut command = match which {
            Which::Envoy => {
                let mut command = Command::new(program("AVIARY_TEST_ENVOY", "envoy"));
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
                command.args(["--file-flush-interval-msec", "50", "-c"]);
                command
            }
            Which::Ours => {
                let folder = std::env::var_os("AVIARY_TEST_PROGRAMS").map(PathBuf::from);
                let program =
                    folder.map_or_else(|| "aviary".into(), |folder| folder.join("aviary"));
                let mut command = Command::new(program);
                command.args(["proxy", "--log-level", "warn", "--config"]);
                command
            }
        };
        let mut process = command
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let log = Arc::<Mutex<HashMap<String, String>>>::default();
        if let Some(out) = process.stdout.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Some((id, rest)) = line.split_once(' ') {
                        log.lock().insert(id.to_owned(), rest.to_owned());
                    }
                }
            });
        }
        let mut side = Self {
            upstreams,
            listen,
            log,
            process,
            folder,
        };
        side.wait(which);
        side
    }

    /// A client that comes in by the way of this number.
    pub(crate) fn client(&self, way: usize) -> Client {
        Client::new(self.listen[way])
    }

    /// The access log's line for a request, when it came.
    pub(crate) fn log_line(&self, id: &str) -> Option<String> {
        self.log.lock().get(id).cloned()
    }

    fn wait(&mut self, which: Which) {
        let start = Instant::now();
        let refused = |address: &SocketAddr| std::net::TcpStream::connect(address).is_err();
        while self.listen.iter().any(refused) {
            let ended = self.process.try_wait().expect("a process of ours");
            assert!(
                ended.is_none(),
                "{which:?} ended: {ended:?}; see {}",
                self.folder.display()
            );
            assert!(start.elapsed() < PATIENCE, "{which:?} does not listen");
            std::thread::yield_now();
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

fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from)
}
