//! Which program an image reference stands for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::cli::ImageCommand;
use crate::home::{Home, write_private};
use crate::output;

/// Adds to the catalog or prints it.
pub(crate) fn run(home: &Home, command: ImageCommand) -> Result<ExitCode> {
    home.create()?;
    let path = home.join("images.json");
    let mut added = load(&path)?;
    match command {
        ImageCommand::Add { reference, command } => {
            ensure!(
                !reference.is_empty() && !reference.contains(char::is_whitespace),
                "`{reference}` is not an image reference"
            );
            output::note(&format!(
                "{reference} now stands for `{}`",
                command.join(" ")
            ));
            added.insert(reference, command);
            write_private(&path, &serde_json::to_vec_pretty(&added)?)?;
        }
        ImageCommand::List => {
            let built_in = aviary_node::built_in_images();
            let width = added
                .keys()
                .map(String::len)
                .chain(built_in.iter().map(|(r, _)| r.len()))
                .max();
            let width = width.unwrap_or(0);
            output::data(&format!("{:width$}  COMMAND", "IMAGE"));
            for (reference, command) in &added {
                output::data(&format!("{reference:width$}  {}", command.join(" ")));
            }
            for (reference, command) in built_in {
                output::data(&format!("{reference:width$}  {command} (built in)"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` is damaged: mend or remove it", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}
