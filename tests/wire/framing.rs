//! HTTP/1 framing: what two parties could read differently is refused, and nothing of it is forwarded.

mod chunks;
mod heads;

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::raw::{Ended, Raw};

use crate::bench::{Bench, SOON};

/// A request that must be refused.
struct Case {
    /// What is wrong with it.
    name: &'static str,
    /// It, with `{}` where the path's mark goes.
    request: Vec<u8>,
    /// The answers that are right.
    statuses: &'static [u16],
}

/// A table of requests that must be refused by 400.
fn cases(table: &[(&'static str, &[u8])]) -> Vec<Case> {
    let case = |(name, request): &(&'static str, &[u8])| Case {
        name,
        request: request.to_vec(),
        statuses: &[400],
    };
    table.iter().map(case).collect()
}

impl Bench {
    /// What is wrong about the proxy's reaction to `request`, followed at once by a good one.
    fn judge(&self, case: &Case, mark: &str) -> Result<Option<String>> {
        let mut client = Raw::connect(self.address)?;
        let text = replace(&case.request, mark);
        // A proxy may close before it has read everything.
        let _ = client.send(&text);
        let _ = client.send(format!(
            "GET /after-{mark} HTTP/1.1\r\nhost: a.test\r\n\r\n"
        ));
        let (ended, answer) = client.end(SOON)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
        let answers = answer.matches("HTTP/1.1 ").count();
        // What has been forwarded by now has arrived before this one.
        Raw::connect(self.address)?.get("/barrier")?;
        let heard = self.origin.count(&format!("/after-{mark}"));
        let fault = match status {
            _ if heard > 0 => "forwarded what followed",
            _ if ended == Ended::Open => "left the connection open",
            Some(status) if !case.statuses.contains(&status) => "gave another answer",
            None => "gave no answer",
            _ if answers > 1 => "gave several answers",
            _ => return Ok(None),
        };
        Ok(Some(format!(
            "{}: {fault}: {answer:?} ({ended:?})",
            case.name
        )))
    }

    /// Asserts that every case is refused; `head` says that nothing of it may be forwarded.
    fn assert_refused(&self, cases: &[Case], head: bool) -> Result<()> {
        let neighbour = Steady::start(self.address)?;
        let mut faults = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let mark = format!("mark-{number}-");
            faults.extend(self.judge(case, &mark)?);
            if head && self.origin.count(&mark) > 0 {
                faults.push(format!("{}: it was forwarded", case.name));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        neighbour.assert_unaffected();
        Ok(())
    }
}

fn replace(bytes: &[u8], mark: &str) -> Vec<u8> {
    let Some(at) = bytes.windows(2).position(|pair| pair == b"{}") else {
        return bytes.to_vec();
    };
    [&bytes[..at], mark.as_bytes(), &bytes[at + 2..]].concat()
}
