//! From stored lines to what a reader asked for.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// What a reader wants. Source: `PodLogOptions` of core/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) tail: Option<usize>,
    pub(super) limit_bytes: Option<usize>,
    /// Lines before this time are left out.
    pub(super) since: Option<Timestamp>,
}

impl Options {
    pub(super) fn parse(query: &HashMap<String, String>) -> Result<Self, String> {
        let flag = |name: &str| {
            query
                .get(name)
                .is_some_and(|value| value == "true" || value == "1")
        };
        let number = |name: &str| -> Result<Option<usize>, String> {
            let parse = |text: &String| {
                text.parse()
                    .map_err(|_| format!("{name}={text} is no number"))
            };
            query.get(name).map(parse).transpose()
        };
        let ago = number("sinceSeconds")?
            .map(|seconds| Timestamp::now() - Duration::from_secs(seconds as u64));
        let at = query.get("sinceTime").map(|text| {
            text.parse::<Timestamp>()
                .map_err(|_| format!("sinceTime={text} is no time"))
        });
        Ok(Self {
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            tail: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
            since: ago.or(at.transpose()?),
        })
    }
}

/// One stored line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    time: &'a str,
    whole: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let _stream = parts.next()?;
    let whole = parts.next()? == b"F";
    Some(Line {
        time,
        whole,
        text: parts.next()?,
    })
}

/// Turns stored lines into output and keeps count of the byte limit.
#[derive(Debug)]
pub(super) struct Formatter {
    options: Options,
    left: usize,
    inside: bool,
}

impl Formatter {
    pub(super) fn new(options: Options) -> Self {
        let left = options.limit_bytes.unwrap_or(usize::MAX);
        Self {
            options,
            left,
            inside: false,
        }
    }

    /// True once the reader has all bytes that it asked for.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// The output of `stored`, which holds whole stored lines.
    pub(super) fn format(&mut self, stored: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(stored.len());
        for line in stored.split(|byte| *byte == b'\n').filter_map(parse) {
            if !self.wanted(line) {
                continue;
            }
            // A long line is stored in parts; only its beginning carries the time.
            if self.options.timestamps && !self.inside {
                output.extend_from_slice(line.time.as_bytes());
                output.push(b' ');
            }
            output.extend_from_slice(line.text);
            if line.whole {
                output.push(b'\n');
            }
            self.inside = !line.whole;
        }
        output.truncate(self.left);
        self.left -= output.len();
        output
    }

    fn wanted(&self, line: Line<'_>) -> bool {
        let Some(since) = self.options.since else {
            return true;
        };
        line.time
            .parse::<Timestamp>()
            .is_ok_and(|time| time >= since)
    }
}

/// The last `count` whole lines of `stored`.
pub(super) fn tail(stored: &[u8], count: usize) -> &[u8] {
    let mut start = stored.len();
    let mut lines = 0;
    let mut end = stored.strip_suffix(b"\n").map_or(stored.len(), <[u8]>::len);
    while start > 0 {
        let before = stored.get(..end).unwrap_or_default();
        let begin = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let whole = parse(before.get(begin..).unwrap_or_default()).is_none_or(|line| line.whole);
        if whole {
            if lines == count {
                break;
            }
            lines += 1;
        }
        start = begin;
        end = begin.saturating_sub(1);
    }
    stored.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &[u8] = b"2026-01-01T00:00:01.000000000Z stdout F one\n\
        2026-01-01T00:00:02.000000000Z stderr P tw\n\
        2026-01-01T00:00:02.000000000Z stderr F o\n\
        2026-01-01T00:00:03.000000000Z stdout F \n";

    fn check(options: Options) -> String {
        String::from_utf8(Formatter::new(options).format(STORED)).unwrap()
    }

    #[test]
    fn format_joins_parts_and_keeps_empty_lines() {
        assert_eq!(check(Options::default()), "one\ntwo\n\n");
    }

    #[test]
    fn format_timestamps_once_per_line() {
        let text = check(Options {
            timestamps: true,
            ..Options::default()
        });
        assert_eq!(
            text,
            "2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.000000000Z two\n2026-01-01T00:00:03.000000000Z \n"
        );
    }

    #[test]
    fn format_since_and_limit_cut() {
        let since = Some("2026-01-01T00:00:02Z".parse().unwrap());
        assert_eq!(
            check(Options {
                since,
                ..Options::default()
            }),
            "two\n\n"
        );
        assert_eq!(
            check(Options {
                limit_bytes: Some(5),
                ..Options::default()
            }),
            "one\nt"
        );
    }

    #[test]
    fn tail_counts_whole_lines() {
        let of = |count| {
            let text = Formatter::new(Options::default()).format(tail(STORED, count));
            String::from_utf8(text).unwrap()
        };
        assert_eq!(of(0), "");
        assert_eq!(of(1), "\n");
        assert_eq!(of(2), "two\n\n");
        assert_eq!(of(9), "one\ntwo\n\n");
    }
}
