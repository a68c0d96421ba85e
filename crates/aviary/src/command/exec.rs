//! Running commands where pods are.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::ExecArgs;
use crate::home::Home;
use crate::output;

/// Runs a command in a pod or in the node's network.
pub(crate) fn run(home: &Home, args: &ExecArgs) -> Result<ExitCode> {
    let code = match &args.pod {
        Some(pod) if !args.node => aviary_node::exec_in_pod(
            home.path(),
            &args.namespace,
            pod,
            args.container.as_deref(),
            &args.command,
        )?,
        _ => aviary_node::exec_in_node(home.path(), &args.command)?,
    };
    Ok(exit(code))
}

/// Opens the user's shell in the node's network.
pub(crate) fn shell(home: &Home) -> Result<ExitCode> {
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    output::note(
        "in the node's network: pod and Service addresses are reachable from here, names ending in \
         `.svc.cluster.local` resolve; leave with `exit`",
    );
    Ok(exit(aviary_node::exec_in_node(home.path(), &[shell])?))
}

fn exit(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
