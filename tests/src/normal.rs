//! What is left of kubectl's output when ages, names by chance and column widths are taken away.
//!
//! The rules are those of the recording that `golden/` holds.

use std::sync::LazyLock;

use regex::Regex;

/// Replacements in order.
static RULES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    const CHANCE: &str = "[bcdfghjklmnpqrstvwxz2456789]";
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned(), "<uid>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(), "<time>"),
        (
            r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}".to_owned(),
            "<date>",
        ),
        (r#"(resourceVersion: )"\d+""#.to_owned(), r#"$1"<rv>""#),
        (r"(Resource Version: +)\d+".to_owned(), "$1<rv>"),
        (r"\b(10|127)\.96\.\d+\.\d+\b".to_owned(), "<clusterip>"),
        (r"\b(10|127)\.24[45]\.\d+\.\d+\b".to_owned(), "<podip>"),
        (format!(r#"(pod-template-hash[=: ]+"?){CHANCE}{{6,10}}"#), "$1<hash>"),
        (format!(r"-{CHANCE}{{8,10}}-{CHANCE}{{5}}\b"), "-<hash>-<sfx>"),
        (format!(r"\b(micro-api)-{CHANCE}{{8,10}}\b"), "$1-<hash>"),
        (format!(r"\bkube-api-access-{CHANCE}{{5}}\b"), "kube-api-access-<sfx>"),
        (
            format!(r"\b(gen|micro-api|details|ratings|reviews|productpage)-{CHANCE}{{5}}\b"),
            "$1-<sfx>",
        ),
        (
            r"(?m)\b(?:\d+d)?(?:\d+h)?(?:\d+m)?\d+s\b|\b\d+d(?:\d+h)?\b|\b\d+h(?:\d+m)?\b|\b\d+m\b( |$)".to_owned(),
            "<age>$1",
        ),
        // The node of the recording had another name and its address was loopback's.
        (r"\bnode-a\b|\baviary\b".to_owned(), "<node>"),
        (r"[ \t]{2,}".to_owned(), "  "),
        (r"-{4,}".to_owned(), "----"),
    ]
    .into_iter()
    .filter_map(|(pattern, with)| Some((Regex::new(&pattern).ok()?, with)))
    .collect()
});

/// One line of `rollout status` while it waits.
static PROGRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"^Waiting for deployment (".*" rollout to finish: (\d+ out of \d+ new replicas have been updated"#,
        r"|\d+ old replicas are pending termination|\d+ of \d+ updated replicas are available)",
        r"|spec update to be observed)\.\.\.$",
    ))
    .ok()
});

/// The text without what differs from run to run.
pub fn normalize(text: &str) -> String {
    let mut text = text.to_owned();
    for (rule, with) in RULES.iter() {
        text = rule.replace_all(&text, *with).into_owned();
    }
    // Names by chance sort by chance.
    let mut lines: Vec<String> = Vec::new();
    let mut run: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if line.starts_with("* ") || line.contains("<hash>") || line.contains("<sfx>") {
            run.push(line.to_owned());
        } else {
            run.sort();
            lines.append(&mut run);
            lines.push(line.to_owned());
        }
    }
    run.sort();
    lines.append(&mut run);
    lines.join("\n")
}

/// For output whose length depends on timing: which kinds of lines there are, and whether any.
pub fn shape(text: &str) -> (Vec<String>, bool) {
    let normal = normalize(text);
    let lines: Vec<&str> = normal
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let waiting = |line: &&&str| {
        PROGRESS
            .as_ref()
            .is_some_and(|progress| progress.is_match(line))
    };
    let mut kinds: Vec<String> = lines
        .iter()
        .filter(|line| !waiting(line))
        .map(|line| {
            line.chars()
                .map(|c| if c.is_ascii_digit() { 'N' } else { c })
                .collect()
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    (kinds, !lines.is_empty())
}
