//! The node's processes: the holder of its namespaces, the agent, a pod's init.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::NodeArgs;
use crate::client::{self, Identity};
use crate::home::Home;
use crate::ports;

/// Runs the agent inside the sandbox.
pub(crate) fn run(home: &Home, args: &NodeArgs) -> Result<ExitCode> {
    for (_, fd) in &args.publish {
        // Checked before anything starts; the agent passes the descriptors on by number.
        std::mem::forget(ports::inherited(*fd)?);
    }
    if let aviary_node::Entered::Ended(code) = aviary_node::enter(home.path())? {
        return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
    }
    super::start_logging();
    let program = std::env::current_exe().context("cannot find my own program")?;
    let programs = program
        .parent()
        .unwrap_or_else(|| Path::new("/"))
        .to_owned();
    let program = program.to_string_lossy().into_owned();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let cancel = super::end_with_supervisor();
            let config = aviary_node::Config {
                client: client::connect(home, Identity::Node)?,
                home: home.path().to_owned(),
                node_name: "aviary".to_owned(),
                pod_init: vec![program.clone(), "pod-init".to_owned()],
                proxy: vec![program, "proxy".to_owned()],
                programs,
                listen_fds: args.publish.clone(),
            };
            tracing::info!(
                node = config.node_name,
                programs = %config.programs.display(),
                "agent started"
            );
            aviary_node::run(config, cancel).await?;
            Ok(ExitCode::SUCCESS)
        })
}

/// Holds the node's namespaces.
pub(crate) fn sandbox(home: &Home) -> Result<ExitCode> {
    aviary_node::sandbox_main(home.path())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a pod's namespaces and becomes its init.
pub(crate) fn pod_init(args: &[String]) -> Result<ExitCode> {
    let spec = args
        .first()
        .context("which pod? its `init.json` is missing")?;
    aviary_node::pod_init_main(Path::new(spec))?;
    Ok(ExitCode::SUCCESS)
}
