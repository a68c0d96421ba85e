//! Printing logs.

use std::io::{Read, Seek, SeekFrom};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};

use crate::cli::LogsArgs;
use crate::client::{self, Identity};
use crate::home::Home;
use crate::output;

/// Prints the log of a part or of a pod.
pub(crate) fn run(home: &Home, args: &LogsArgs) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match args.subject.as_str() {
                part @ ("control" | "node" | "sandbox" | "up") => {
                    print_part(home, part, args).await?;
                }
                pod => print_pod(home, pod, args).await?,
            }
            Ok(ExitCode::SUCCESS)
        })
}

async fn print_part(home: &Home, part: &str, args: &LogsArgs) -> Result<()> {
    let path = home.join(&format!("logs/{part}.log"));
    let mut file = std::fs::File::open(&path)
        .with_context(|| format!("there is no log `{}` (yet)", path.display()))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    output::raw(last_lines(&text, args.tail));
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let at = file.stream_position()?;
        if file.metadata()?.len() < at {
            file.seek(SeekFrom::Start(0))?;
        }
        text.clear();
        file.read_to_end(&mut text)?;
        output::raw(&text);
    }
}

async fn print_pod(home: &Home, pod: &str, args: &LogsArgs) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client::connect(home, Identity::Admin)?, &args.namespace);
    let params = LogParams {
        container: args.container.clone(),
        follow: args.follow,
        tail_lines: args.tail.and_then(|lines| i64::try_from(lines).ok()),
        ..LogParams::default()
    };
    let mut log = match pods.log_stream(pod, &params).await {
        Err(kube::Error::Api(status)) => bail!("{}", status.message),
        log => log.with_context(|| {
            format!(
                "the API server of `{}` does not answer",
                home.path().display()
            )
        })?,
    };
    let mut chunk = vec![0; 16 * 1024];
    loop {
        match log.read(&mut chunk).await? {
            0 => return Ok(()),
            read => output::raw(&chunk[..read]),
        }
    }
}

/// The last `count` lines, or everything.
fn last_lines(text: &[u8], count: Option<u64>) -> &[u8] {
    let Some(count) = count else { return text };
    let ends = text
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .skip(1);
    let start = ends
        .map(|(at, _)| at + 1)
        .nth(
            usize::try_from(count)
                .unwrap_or(usize::MAX)
                .saturating_sub(1),
        )
        .unwrap_or(0);
    if count == 0 { &[] } else { &text[start..] }
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn last_lines_keeps_only_the_end() {
        assert_eq!(last_lines(b"a\nb\nc\n", Some(2)), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\n", Some(5)), b"a\nb\n");
        assert_eq!(last_lines(b"a\nb\n", Some(0)), b"");
        assert_eq!(last_lines(b"a\nb\n", None), b"a\nb\n");
    }
}
