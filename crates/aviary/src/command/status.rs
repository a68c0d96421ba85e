//! Telling what runs.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use super::report::Up;
use crate::cli::StatusFormat;
use crate::home::Home;
use crate::output;

/// Prints the state of the installation; fails when nothing runs, except as JSON.
pub(crate) fn run(home: &Home, format: StatusFormat) -> Result<ExitCode> {
    let up = Up::load(home)?;
    match (format, up) {
        (StatusFormat::Json, up) => {
            let running = up.is_some();
            let value = json!({
                "running": running,
                "ready": up.as_ref().is_some_and(|up| up.ready),
                "home": home.path(),
                "kubeconfig": running.then(|| home.kubeconfig()),
                "apiServer": up.as_ref().map(|up| up.api_server.clone()),
                "gateway": up.as_ref().map(|up| up.gateway.clone()),
                "gatewayTls": up.as_ref().map(|up| up.gateway_tls.clone()),
                // The web console is not there yet.
                "console": null,
                "processes": up.as_ref().map(|up| json!({
                    "supervisor": up.pid, "control": up.control, "node": up.node, "sandbox": up.sandbox,
                })),
            });
            output::data(&serde_json::to_string_pretty(&value)?);
            Ok(if running {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        (_, None) => bail!(
            "nothing runs under `{}`; start it with `aviary up` or `aviary demo`",
            home.path().display()
        ),
        (StatusFormat::Kubeconfig, Some(_)) => {
            output::data(&home.kubeconfig().display().to_string());
            Ok(ExitCode::SUCCESS)
        }
        (StatusFormat::Text, Some(up)) => {
            output::data(&format!(
                "state       {}\nkubeconfig  {}\napi server  {}\ngateway     {}\nconsole     not there yet\nprocesses   \
                 supervisor {}, control {}, node {}, sandbox {}",
                if up.ready { "ready" } else { "starting" },
                home.kubeconfig().display(),
                up.api_server,
                up.gateway,
                up.pid,
                pid(up.control),
                pid(up.node),
                pid(up.sandbox),
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn pid(pid: Option<u32>) -> String {
    pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())
}
