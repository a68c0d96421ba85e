//! Fields of a `Release`.

use super::virtual_service::http_match;
use super::{Field, choice, flag, integer, list, number, object, text};

/// The whole specification.
pub(crate) fn spec() -> Field {
    object(
        "A new version of a Service under trial. Verbs are fields, so that applying twice changes nothing.",
        vec![
            ("service", text("Service of the same namespace.")),
            (
                "stable",
                text("`version` label of the stable version; found when absent."),
            ),
            ("new", new_version()),
            ("strategy", strategy()),
            ("affinity", affinity("Keeps a user with a version.")),
            ("analysis", analysis()),
            ("limits", limits()),
            ("control", control()),
            (
                "onDelete",
                choice(
                    "Version that has all traffic before a deleted release is gone; `stable` by default.",
                    &["stable", "new"],
                ),
            ),
        ],
    )
}

fn new_version() -> Field {
    let env = vec![("name", text("Its name.")), ("value", text("Its value."))];
    object(
        "The version under trial.",
        vec![
            ("version", text("Its `version` label.")),
            (
                "image",
                text("Derives a Deployment with this image from the stable one; else it exists."),
            ),
            (
                "container",
                text("Container that gets image and environment; the first by default."),
            ),
            ("env", list("Environment that is set.", object("", env))),
            ("replicas", integer("Pods; as many as stable by default.")),
        ],
    )
}

fn strategy() -> Field {
    let step = vec![
        (
            "weight",
            number("Share of the new version in percent, 0 to 100."),
        ),
        ("pause", pause()),
    ];
    let canary = vec![
        ("steps", list("Steps in order.", object("", step))),
        (
            "matches",
            list(
                "Requests that go to the new version whatever the weight; any suffices.",
                http_match(),
            ),
        ),
    ];
    let blue_green = vec![
        ("pause", pause()),
        (
            "keepOld",
            text("How long the old version stays up after the switch, such as `10m`."),
        ),
    ];
    let mirror = vec![
        (
            "percentage",
            number("Share of requests that are copied, in percent; 100 by default."),
        ),
        (
            "methods",
            list(
                "Methods that are copied; GET, HEAD and OPTIONS by default.",
                text(""),
            ),
        ),
        (
            "duration",
            text("Least time of copying before an approval counts."),
        ),
    ];
    object(
        "How traffic moves; exactly one is set.",
        vec![
            ("canary", object("Step by step.", canary)),
            (
                "blueGreen",
                object("All at once, with a way back.", blue_green),
            ),
            (
                "mirror",
                object("Copies only, until approved to take all traffic.", mirror),
            ),
        ],
    )
}

fn pause() -> Field {
    object(
        "What is awaited: the time, then the approval.",
        vec![
            ("duration", text("From the last acknowledgement.")),
            (
                "approval",
                flag("Until `control.approvedStep` is this step."),
            ),
        ],
    )
}

fn affinity(doc: &'static str) -> Field {
    object(
        doc,
        vec![
            ("header", text("A request header that identifies a user.")),
            ("cookie", text("A cookie that identifies a user.")),
        ],
    )
}

fn analysis() -> Field {
    let bound = vec![
        ("min", number("Least value.")),
        ("max", number("Greatest value.")),
        (
            "worseThanStable",
            number("How much worse than stable in the same window, in percent."),
        ),
    ];
    let check = vec![
        ("name", text("Name, unique within the release.")),
        (
            "metric",
            choice(
                "What is measured.",
                &[
                    "successRate",
                    "durationP50",
                    "durationP90",
                    "durationP99",
                    "requests",
                ],
            ),
        ),
        ("bound", object("What is acceptable; all must hold.", bound)),
        (
            "action",
            choice(
                "What follows when the new version fails; `rollBack` by default.",
                &["rollBack", "hold", "notify"],
            ),
        ),
        ("dryRun", flag("Reports only.")),
    ];
    object(
        "What is measured before a step is left.",
        vec![
            (
                "window",
                text("Least time of observation; `30s` by default."),
            ),
            ("checks", list("All are judged.", object("", check))),
        ],
    )
}

fn limits() -> Field {
    object(
        "How long things may take.",
        vec![
            (
                "ackDeadline",
                text("After this a silent proxy is named; `10s` by default."),
            ),
            (
                "drainDeadline",
                text("After this open streams no longer keep pods; `5m` by default."),
            ),
            (
                "readyDeadline",
                text("After this a new version that is not ready is withdrawn; `10m` by default."),
            ),
        ],
    )
}

fn control() -> Field {
    object(
        "The verbs. What moves traffic to the new version counts only for the attempt named.",
        vec![
            (
                "attempt",
                integer("Attempt that the verbs are for; 1 by default."),
            ),
            ("approvedStep", integer("Steps up to this are approved.")),
            ("paused", flag("Freezes everything but the way back.")),
            (
                "takeOver",
                choice("All traffic to one side.", &["stable", "new"]),
            ),
            ("aborted", flag("All traffic back to stable, for good.")),
            ("offline", flag("Deletes the side that lost.")),
            ("restart", integer("Counts up to begin anew.")),
            ("jumpTo", integer("Step to go to.")),
            ("requestedBy", text("Who asks, for the journal.")),
        ],
    )
}

/// The whole status.
pub(crate) fn status() -> Field {
    let progress = vec![
        ("since", text("When the phase was entered.")),
        ("pinnedAt", text("When all proxies gave stable everything.")),
        ("step", step()),
        ("hold", text("Why the step cannot be left.")),
        ("takenOver", text("The side that took over.")),
        ("drain", drain()),
        ("stableRetired", flag("Whether stable gave up its pods.")),
    ];
    let weights = vec![
        ("wanted", integer("Written.")),
        ("acknowledged", integer("Live in every proxy.")),
        ("observed", integer("Measured.")),
        ("summary", text("In percent.")),
    ];
    let claim = vec![
        ("uid", text("Of the Lease.")),
        ("transitions", integer("Its transitions when it was taken.")),
    ];
    let seen = vec![
        ("restart", integer("")),
        ("jumpTo", integer("")),
        ("plan", text("Hash of strategy and analysis.")),
        ("new", text("Hash of `spec.new`.")),
        ("claim", object("The claim on the Service.", claim)),
    ];
    object(
        "How far it has come.",
        vec![
            ("observedGeneration", integer("Generation last looked at.")),
            ("phase", text("Where it stands.")),
            ("attempt", integer("Counts beginnings, from 1.")),
            ("stable", version("The version that served before.")),
            ("new", version("The version under trial.")),
            ("progress", object("What is under way.", progress)),
            ("overlay", overlay()),
            (
                "weights",
                object("Share of the new version in parts per million.", weights),
            ),
            ("proxies", proxies()),
            ("waits", list("Why nothing moves.", text(""))),
            ("verdicts", list("Of each check the last.", verdict())),
            ("conditions", list("", condition())),
            ("seen", object("What was carried out.", seen)),
            (
                "journal",
                list("The last transitions, oldest first.", entry()),
            ),
        ],
    )
}

fn version(doc: &'static str) -> Field {
    object(
        doc,
        vec![
            ("version", text("Its `version` label.")),
            ("deployment", text("Its Deployment.")),
            ("replicas", integer("Pods when it serves.")),
            ("ready", integer("Pods ready.")),
        ],
    )
}

fn step() -> Field {
    object(
        "The step under way.",
        vec![
            ("number", integer("From 1; 0 keeps the split before it.")),
            ("of", integer("Number of steps.")),
            ("enteredAt", text("When it was written.")),
            ("ackedAt", text("When it was live everywhere.")),
            ("summary", text("Both numbers.")),
        ],
    )
}

fn drain() -> Field {
    object(
        "The side that loses its traffic for good.",
        vec![
            ("role", text("The side.")),
            ("revision", integer("Overlay that first gave it nothing.")),
            ("ackedAt", text("When that was live everywhere.")),
            ("deadline", text("When streams no longer keep its pods.")),
            ("doneAt", text("When its pods might end.")),
        ],
    )
}

fn overlay() -> Field {
    let share = vec![
        ("version", text("Its `version` label.")),
        ("parts", integer("Parts per million.")),
    ];
    let matched = vec![
        ("version", text("Its `version` label.")),
        ("matches", list("Any suffices.", http_match())),
    ];
    let mirror = vec![
        ("version", text("Its `version` label.")),
        ("parts", integer("Parts per million that are copied.")),
        ("methods", list("Methods that are copied.", text(""))),
    ];
    object(
        "The split that is composed onto every route to the Service.",
        vec![
            ("revision", integer("Counts every change.")),
            (
                "shares",
                list(
                    "They sum to 1,000,000; the order has meaning.",
                    object("", share),
                ),
            ),
            ("matched", object("Requests sent by content.", matched)),
            ("mirror", object("Copies.", mirror)),
            (
                "fallback",
                text("Version that stands in for one without ready endpoints."),
            ),
            ("affinity", affinity("What identifies a user.")),
            ("salt", text("Of the hash of users.")),
        ],
    )
}

fn proxies() -> Field {
    object(
        "Live proxies that lead to the Service.",
        vec![
            ("acked", integer("That acknowledged the overlay.")),
            ("total", integer("All.")),
        ],
    )
}

fn verdict() -> Field {
    object(
        "",
        vec![
            ("check", text("Name of the check.")),
            ("new", text("Verdict on the new version.")),
            ("stable", text("Verdict on the stable version.")),
            ("value", number("Of the new version.")),
            ("baseline", number("Of the stable version.")),
            ("bound", text("What it was compared with.")),
            ("samples", integer("Requests of the new version.")),
        ],
    )
}

fn condition() -> Field {
    object(
        "",
        vec![
            ("type", text("Accepted, Live or Succeeded.")),
            ("status", text("True, False or Unknown.")),
            ("reason", text("One word for programs.")),
            ("message", text("Sentence for people.")),
            ("lastTransitionTime", text("When the status last changed.")),
        ],
    )
}

fn entry() -> Field {
    object(
        "",
        vec![
            ("sequence", integer("Counts all entries, from 1.")),
            ("at", text("When it was decided.")),
            ("attempt", integer("The attempt.")),
            ("from", text("Phase before.")),
            ("to", text("Phase after.")),
            ("step", integer("Step after.")),
            ("revision", integer("Overlay after.")),
            ("newParts", integer("Share of the new version after.")),
            ("reason", text("One word for programs.")),
            ("message", text("Sentence for people.")),
            ("askedBy", text("Who asked; absent when nobody did.")),
            ("proxies", proxies()),
            ("verdicts", list("What was measured.", verdict())),
        ],
    )
}
