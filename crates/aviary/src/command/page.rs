//! The administration pages of a proxy, wherever it runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::ProxyOf;
use crate::home::Home;
use crate::output;

/// Where the proxy of a pod has its administration, seen from inside the pod.
const IN_POD: &str = "127.0.0.1:15000";

/// The container of a pod's proxy.
const CONTAINER: &str = "istio-proxy";

/// A page that takes longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// In a pod of this installation.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod.
        name: String,
    },
    /// Whose administration is at this address.
    Address(String),
}

impl Proxy {
    /// The one that was named: `POD`, `POD.NAMESPACE`, or an address.
    ///
    /// # Errors
    /// When none was named.
    pub(crate) fn named(of: &ProxyOf) -> Result<Self> {
        if let Some(address) = &of.address {
            return Ok(Self::Address(address.clone()));
        }
        let Some(pod) = &of.pod else {
            bail!(
                "which proxy? name its pod (`POD` or `POD.NAMESPACE`), or give `--address HOST:PORT`"
            );
        };
        let (name, namespace) = pod.split_once('.').unwrap_or((pod, &of.namespace));
        Ok(Self::Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The text of a page, e.g. `/config_dump`.
    ///
    /// # Errors
    /// When the proxy is not there or does not have the page.
    pub(crate) fn page(&self, home: &Home, path: &str) -> Result<String> {
        match self {
            Self::Address(address) => get(address, path),
            Self::Pod { namespace, name } => {
                let program = std::env::current_exe()?;
                // Entering a pod changes the process that does it, so another one does.
                let output = Command::new(&program)
                    .arg("--home")
                    .arg(home.path())
                    .args(["exec", "-n", namespace, "-c", CONTAINER, name, "--"])
                    .arg(&program)
                    .args(["page", path])
                    .stdin(Stdio::null())
                    .stderr(Stdio::piped())
                    .output()?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let said = said.trim().trim_start_matches("error: ");
                    bail!("the proxy of pod `{name}` in namespace `{namespace}`: {said}");
                }
                Ok(String::from_utf8(output.stdout)?)
            }
        }
    }
}

/// Prints a page of the proxy of the pod that this process is in.
pub(crate) fn run(path: &str) -> Result<ExitCode> {
    output::raw(get(IN_POD, path)?.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)
        .with_context(|| format!("no proxy's administration answers at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    body(&String::from_utf8(bytes)?).with_context(|| format!("http://{address}{path}"))
}

/// The body of an answer that ended with its connection.
fn body(answer: &str) -> Result<String> {
    let (head, body) = answer.split_once("\r\n\r\n").context("this is not HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}: {}", body.trim());
    }
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        return Ok(joined(body));
    }
    Ok(body.to_owned())
}

/// The chunks of a chunked body, e.g. Envoy's.
fn joined(mut chunked: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunked.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some((chunk, rest)) = rest.split_at_checked(size).filter(|_| size > 0) else {
            break;
        };
        body.push_str(chunk);
        chunked = rest.trim_start_matches("\r\n");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn body_is_what_follows_the_head() {
        assert_eq!(body("HTTP/1.1 200 OK\r\na: b\r\n\r\ntext").unwrap(), "text");
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), "abc");
        let error = body("HTTP/1.1 404 Not Found\r\n\r\nno such page\n").unwrap_err();
        assert_eq!(error.to_string(), "status 404: no such page");
    }
}
