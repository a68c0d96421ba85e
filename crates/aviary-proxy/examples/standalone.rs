//! The proxy alone: `standalone --config FILE --workers N`, as `aviary proxy` takes them.
//!
//! It builds in a fraction of the time of the whole program: `cargo xtask bench instructions` counts with it.

#![allow(
    clippy::disallowed_methods,
    reason = "a program: it reads its arguments and a file"
)]

use std::error::Error;

use aviary_proxy::{Bootstrap, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut file, mut workers) = (None, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or("an option has no value")?;
        match name.as_str() {
            "--config" => file = Some(value),
            "--workers" => workers = value.parse()?,
            _ => return Err(format!("`{name}` is not known").into()),
        }
    }
    let text = std::fs::read_to_string(file.ok_or("give --config")?)?;
    let config = Config::standalone(Bootstrap::read(&text)?, workers)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let drain = CancellationToken::new();
            let asked = drain.clone();
            let mut end = signal(SignalKind::terminate())?;
            tokio::spawn(async move {
                end.recv().await;
                asked.cancel();
            });
            aviary_proxy::run(config, drain).await?;
            Ok(())
        })
}
