//! Conditions as a function of what is known.

use aviary_translate::{Diagnostic, diagnostic};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ads::Progress;

/// What is known of an object.
pub(super) struct Facts<'a> {
    /// Its generation.
    pub(super) generation: i64,
    /// What the translator says.
    pub(super) remarks: &'a [&'a Diagnostic],
    /// Its last good form, when that is in force instead of the present one.
    pub(super) last_good: Option<Value>,
    /// How far the proxies are.
    pub(super) progress: Progress,
}

/// The whole status, keeping the transition times of conditions that stay.
pub(super) fn status(facts: &Facts<'_>, before: &Value, now: Timestamp) -> Value {
    let mut status = json!({
        "observedGeneration": facts.generation,
        "conditions": [
            condition(facts, before, now, "Accepted", &accepted(facts)),
            condition(facts, before, now, "Programmed", &programmed(facts)),
        ],
    });
    if let Some(last_good) = &facts.last_good {
        status["lastGood"] = last_good.clone();
    }
    status
}

struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

fn accepted(facts: &Facts<'_>) -> Verdict {
    let Some(first) = facts.remarks.first() else {
        return Verdict {
            status: "True",
            reason: "Accepted",
            message: String::new(),
        };
    };
    let reason = match first.code {
        diagnostic::UNKNOWN_HOST => "UnknownHost",
        diagnostic::UNKNOWN_SUBSET => "UnknownSubset",
        diagnostic::UNKNOWN_GATEWAY => "UnknownGateway",
        diagnostic::DUPLICATE_HOST => "DuplicateHost",
        _ => "Invalid",
    };
    let remarks = facts
        .remarks
        .iter()
        .map(|remark| format!("{} {}: {}", remark.code, remark.path, remark.message));
    let mut message = remarks.collect::<Vec<_>>().join("; ");
    if facts.last_good.is_some() {
        message.push_str("; the last good form stays in force");
    }
    Verdict {
        status: "False",
        reason,
        message,
    }
}

fn programmed(facts: &Facts<'_>) -> Verdict {
    let Progress {
        acked,
        total,
        refusals,
    } = &facts.progress;
    let message = format!("confirmed by {acked} of {total} proxies");
    if facts.last_good.is_some() {
        let message = format!("the last good form is {message}");
        return Verdict {
            status: "False",
            reason: "LastGoodForm",
            message,
        };
    }
    if !refusals.is_empty() {
        let message = format!("{message}; refused: {}", refusals.join("; "));
        return Verdict {
            status: "False",
            reason: "Refused",
            message,
        };
    }
    match (*acked, *total) {
        (_, 0) => Verdict {
            status: "Unknown",
            reason: "NoProxies",
            message: "no proxy is connected".to_owned(),
        },
        (acked, total) if acked == total => Verdict {
            status: "True",
            reason: "Programmed",
            message,
        },
        _ => Verdict {
            status: "False",
            reason: "Pending",
            message,
        },
    }
}

fn condition(
    facts: &Facts<'_>,
    before: &Value,
    now: Timestamp,
    kind: &str,
    verdict: &Verdict,
) -> Value {
    let known = before["conditions"].as_array();
    let known = known.and_then(|all| all.iter().find(|one| one["type"] == kind));
    let since = known
        .filter(|known| known["status"] == verdict.status)
        .and_then(|known| known["lastTransitionTime"].as_str());
    json!({
        "type": kind,
        "status": verdict.status,
        "observedGeneration": facts.generation,
        "lastTransitionTime": since.map_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), str::to_owned),
        "reason": verdict.reason,
        "message": verdict.message,
    })
}

#[cfg(test)]
mod tests {
    use aviary_translate::{ObjectKey, Severity};

    use super::*;

    fn facts(acked: usize, total: usize) -> Facts<'static> {
        Facts {
            generation: 3,
            remarks: &[],
            last_good: None,
            progress: Progress {
                acked,
                total,
                refusals: Vec::new(),
            },
        }
    }

    fn verdicts(status: &Value) -> Vec<(&str, &str, &str)> {
        let conditions = status["conditions"].as_array().unwrap();
        let text = |one: &'_ Value, name: &str| one[name].as_str().unwrap().to_owned();
        conditions
            .iter()
            .map(|one| {
                let leak = |text: String| &*text.leak();
                (
                    leak(text(one, "type")),
                    leak(text(one, "status")),
                    leak(text(one, "message")),
                )
            })
            .collect()
    }

    #[test]
    fn object_is_programmed_when_all_proxies_confirmed() {
        let status =
            |acked, total| status(&facts(acked, total), &Value::Null, Timestamp::UNIX_EPOCH);
        assert_eq!(
            verdicts(&status(2, 3))[1],
            ("Programmed", "False", "confirmed by 2 of 3 proxies")
        );
        assert_eq!(
            verdicts(&status(3, 3))[1],
            ("Programmed", "True", "confirmed by 3 of 3 proxies")
        );
        assert_eq!(
            verdicts(&status(0, 0))[1],
            ("Programmed", "Unknown", "no proxy is connected")
        );
        assert_eq!(status(3, 3)["observedGeneration"], 3);
    }

    #[test]
    fn transition_time_stays_while_status_stays() {
        let first = status(&facts(3, 3), &Value::Null, Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(100).unwrap();
        assert_eq!(status(&facts(3, 3), &first, later), first);
        let changed = status(&facts(1, 3), &first, later);
        assert_eq!(changed["conditions"][0], first["conditions"][0]);
        assert_eq!(
            changed["conditions"][1]["lastTransitionTime"],
            "1970-01-01T00:01:40Z"
        );
    }

    #[test]
    fn form_held_back_is_told() {
        let remark = Diagnostic {
            code: diagnostic::UNKNOWN_SUBSET,
            severity: Severity::Error,
            kind: "VirtualService",
            object: ObjectKey::new("prod", "reviews"),
            path: "spec.http[0]".to_owned(),
            message: "subset `v3` is not declared".to_owned(),
        };
        let remarks = [&remark];
        let facts = Facts {
            remarks: &remarks,
            last_good: Some(json!({"spec": {}})),
            ..facts(3, 3)
        };
        let status = status(&facts, &Value::Null, Timestamp::UNIX_EPOCH);
        let [accepted, programmed] = verdicts(&status)[..] else {
            panic!("two conditions")
        };
        assert_eq!(accepted.1, "False");
        assert_eq!(
            accepted.2,
            "AV0102 spec.http[0]: subset `v3` is not declared; the last good form stays in force"
        );
        assert_eq!(programmed.1, "False");
        assert_eq!(status["lastGood"], json!({"spec": {}}));
    }
}
