//! What a proxy is configured with, as tables.

pub(super) mod rows;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result};
use aviary_mesh::MeshConfig;
use serde_json::Value;

use super::page::Proxy;
use crate::cli::{DataFormat, ProxyConfigArgs, ProxyPart};
use crate::home::Home;
use crate::output;

/// What a proxy says of its configuration.
pub(crate) struct Dump {
    /// What it uses.
    pub(crate) config: MeshConfig,
    /// Its secrets, without what is secret.
    pub(crate) secrets: Value,
}

impl Dump {
    /// From the page `/config_dump`.
    ///
    /// # Errors
    /// When it is not that of one of our proxies.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut dump: Value = serde_json::from_str(text)?;
        let config = match dump["config"].take() {
            Value::Null => MeshConfig::default(),
            config => serde_json::from_value(config)
                .context("this is not the configuration of a proxy of this version")?,
        };
        Ok(Self {
            config,
            secrets: dump["secrets"].take(),
        })
    }
}

/// Prints a part of a proxy's configuration.
pub(crate) fn run(home: &Home, args: &ProxyConfigArgs) -> Result<ExitCode> {
    let proxy = Proxy::named(&args.proxy)?;
    let page = |path: &str| proxy.page(home, path);
    if args.part == ProxyPart::Stats {
        let text = page("/stats")?;
        let wanted = text.lines().filter(|line| args.filter.fits_name(line));
        output::data(&wanted.collect::<Vec<_>>().join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let dump = Dump::read(&page("/config_dump")?)?;
    let live = match args.part {
        ProxyPart::Endpoints => page("/clusters")?,
        _ => String::new(),
    };
    let (table, data) = rows::of(args.part, &dump, &live, &args.filter);
    match args.output {
        DataFormat::Table => output::data(&table.to_string()),
        DataFormat::Json => output::data(&serde_json::to_string_pretty(&data)?),
        DataFormat::Yaml => output::data(serde_saphyr::to_string(&data)?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}
