//! Where we differ from Envoy on purpose. Each must occur in the run, or it has no place here.

use crate::compare::Mismatch;
use crate::request::Request;

/// A deliberate difference.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    /// Why it is better so.
    pub(crate) reason: &'static str,
    /// Whether a mismatch is of this kind.
    pub(crate) explains: fn(&Request, &Mismatch) -> bool,
}

/// A mismatch in one thing, between what Envoy and ours say of it.
fn is(mismatch: &Mismatch, what: &str, envoy: &str, ours: &str) -> bool {
    mismatch.what == what && mismatch.envoy == envoy && mismatch.ours == ours
}

const ABSENT: &str = "(absent)";

/// All of them.
pub(crate) const DIFFERENCES: [Difference; 9] = [
    Difference {
        name: "names of headers go on as they came",
        reason: "heads are forwarded as untouched byte runs; names are not case-sensitive (RFC 9110 §5.1)",
        explains: |_, mismatch| {
            mismatch.what.starts_with("name as sent ")
                && mismatch.envoy.eq_ignore_ascii_case(&mismatch.ours)
        },
    },
    Difference {
        name: "what a reply's connection header names goes no further",
        reason: "it is meant for one hop (RFC 9110 §7.6.1)",
        explains: |_, mismatch| is(mismatch, "answer header x-hop", "1", ABSENT),
    },
    Difference {
        name: "a client on this machine is told of by its own address",
        reason: "Envoy writes an address of the machine instead, which is not the client's",
        explains: |_, mismatch| {
            mismatch.what == "request header x-forwarded-for"
                && mismatch.ours.ends_with("127.0.0.1")
                && !mismatch.envoy.ends_with("127.0.0.1")
        },
    },
    Difference {
        name: "an edge believes nobody",
        reason: "what clients outside say of the way here is not passed on: `x-forwarded-*` and `x-envoy-*` \
                 of theirs are removed, where Envoy appends to some",
        explains: |request, mismatch| {
            let told = ["request header x-forwarded-", "request header x-envoy-"];
            request.way_is("edge") && told.iter().any(|part| mismatch.what.starts_with(part))
        },
    },
    Difference {
        name: "the answer to HEAD has the length of that to GET",
        reason: "Envoy says `transfer-encoding: chunked` of an empty answer of its own",
        explains: |request, mismatch| {
            request.method == "HEAD"
                && (is(mismatch, "answer header content-length", ABSENT, "0")
                    || is(
                        mismatch,
                        "answer header transfer-encoding",
                        "chunked",
                        ABSENT,
                    ))
        },
    },
    Difference {
        name: "an answer before the body does not cost the connection",
        reason: "the body has come with the head, so it can be read away; Envoy closes",
        explains: |request, mismatch| {
            request.body.is_some() && is(mismatch, "answer header connection", "close", ABSENT)
        },
    },
    Difference {
        name: "a request without a body stays without a length",
        reason: "only methods that have a body tell that there is none (RFC 9110 §8.6)",
        explains: |request, mismatch| {
            !matches!(request.method, "POST" | "PUT" | "PATCH")
                && is(mismatch, "request header content-length", "0", ABSENT)
        },
    },
    Difference {
        name: "a safe request that a kept connection lost is sent once more",
        reason: "the endpoint closed the connection while the request was on its way; no policy is needed \
                 to see that nothing was answered",
        explains: |request, mismatch| {
            request.has("x-do", "close")
                && matches!(request.method, "GET" | "HEAD" | "OPTIONS")
                && ["servers", "request header x-envoy-attempt-count"].contains(&&*mismatch.what)
        },
    },
    Difference {
        name: "a copy is what the endpoint gets",
        reason: "Envoy says of copies that they come from inside, and appends its own address to the way",
        explains: |request, mismatch| {
            let told = [
                "request header x-envoy-internal",
                "request header x-forwarded-for",
            ];
            request.host == "mirrors.example" && told.contains(&&*mismatch.what)
        },
    },
];
