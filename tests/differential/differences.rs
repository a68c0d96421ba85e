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

impl Mismatch {
    /// Whether it is in this, between what Envoy and ours say of it.
    fn is(&self, what: &str, envoy: &str, ours: &str) -> bool {
        self.what == what && self.envoy == envoy && self.ours == ours
    }

    /// Whether it is in one of these.
    fn is_in(&self, all: &[&str]) -> bool {
        all.contains(&self.what.as_str())
    }

    /// Whether the statuses are these.
    fn is_status(&self, envoy: &[&str], ours: &str) -> bool {
        self.what == "status" && envoy.contains(&self.envoy.as_str()) && self.ours == ours
    }
}

impl Request {
    /// Whether the value of a header begins so.
    fn begins(&self, name: &str, value: &str) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|it| it.0.eq_ignore_ascii_case(name) && it.1.starts_with(value))
    }

    fn is_get(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Whether a proxy is told that nobody before it is to be believed.
    fn is_at_edge(&self) -> bool {
        let edges = ["edge", "redirects-escaped-slash", "specific-wins"];
        edges.iter().any(|way| self.way_is(way))
    }
}

const ABSENT: &str = "(absent)";

/// All of them: what is refused, then heads, then logs.
pub(crate) fn all() -> impl Iterator<Item = &'static Difference> {
    REFUSALS.iter().chain(&HEADS).chain(&LOGS)
}

/// What only one of the two serves.
const REFUSALS: [Difference; 14] = [
    Difference {
        name: "HTTP/1.0 is answered",
        reason: "no setting is needed for old clients; Envoy says 426",
        explains: |request, mismatch| {
            request.version == "HTTP/1.0" && mismatch.what == "status" && mismatch.envoy == "426"
        },
    },
    Difference {
        name: "a version that is not known is refused",
        reason: "nobody knows what its messages mean",
        explains: |request, mismatch| {
            !["HTTP/1.0", "HTTP/1.1"].contains(&request.version) && mismatch.is_in(&["status"])
        },
    },
    Difference {
        name: "methods are no closed list",
        reason: "any token is a method (RFC 9110 §9.1)",
        explains: |request, mismatch| {
            ["get", "X", "M-SEARCH"].contains(&request.method)
                && mismatch.is_status(&["400"], "200")
        },
    },
    Difference {
        name: "an authority with a user or a list is refused",
        reason: "two servers could read it differently (RFC 9110 §4.2.4)",
        explains: |request, mismatch| {
            let authority = request.target.strip_prefix("http://");
            let authority = authority.unwrap_or(&request.host);
            authority.contains(['@', ',']) && mismatch.is_status(&["200", "404"], "400")
        },
    },
    Difference {
        name: "a request without a host is refused",
        reason: "an empty host is none",
        explains: |request, mismatch| {
            request.host.is_empty() && mismatch.is_status(&["404"], "400")
        },
    },
    Difference {
        name: "a target that names another host than `host`, or no path, is refused",
        reason: "two servers could read it differently; Envoy takes `paths.example?x` for a host",
        explains: |request, mismatch| {
            let Some(rest) = request.target.strip_prefix("http://") else {
                return false;
            };
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let differs = rest.get(..end) != Some(&request.host);
            let no_path = rest.get(end..end + 1) == Some("?");
            (differs || no_path) && mismatch.is_status(&["200", "404"], "400")
        },
    },
    Difference {
        name: "a fragment is no request",
        reason: "it is refused while it is read, with the words that Envoy has for that",
        explains: |request, mismatch| {
            let about = [
                "body",
                "answer header content-length",
                "answer header content-type",
            ];
            request.target.contains('#')
                && (mismatch.is_in(&about)
                    || mismatch.is("log lines", "1", "0")
                    // Clients of gRPC are told in their way once the head has been read.
                    || mismatch.is_status(&["200"], "400"))
        },
    },
    Difference {
        name: "an absolute target says nothing about the connection",
        reason: "its scheme is the client's word; Envoy says 403 at an edge",
        explains: |request, mismatch| {
            request.target.starts_with("https://") && mismatch.is_status(&["403"], "200")
        },
    },
    Difference {
        name: "a segment of nothing but parameters is refused",
        reason: "servers that take parameters off see an empty one, or `..`, and go elsewhere",
        explains: |request, mismatch| {
            request.target.contains("/;") && mismatch.what == "status" && mismatch.ours == "400"
        },
    },
    Difference {
        name: "a malformed request of HTTP/2 costs its stream only",
        reason: "it is an error of the stream (RFC 9113 §8.1.1); Envoy closes the connection",
        explains: |_, mismatch| {
            let ours = "stream error received: unspecific protocol error detected";
            // How that looks depends on what is read first.
            let envoys = ["connection reset", "stream closed because of a broken pipe"];
            mismatch.what == "answer header (error)"
                && mismatch.ours == ours
                && envoys.contains(&mismatch.envoy.as_str())
        },
    },
    Difference {
        name: "what may stand in target and authority is the same in HTTP/2",
        reason: "what is refused in HTTP/1 (there by both, or for the reasons above) does not come in by \
                 another version",
        explains: |request, mismatch| {
            let is_odd = !request.target.is_ascii() || request.host.contains(['@', ',']);
            is_odd && mismatch.is_status(&["200", "301", "400", "403", "404"], "0")
        },
    },
    Difference {
        name: "a coding of transfer that is not `chunked` is a bad request",
        reason: "all doubts about framing are; Envoy says 501",
        explains: |request, mismatch| {
            request.begins("transfer-encoding", "") && mismatch.is_status(&["501"], "400")
        },
    },
    Difference {
        name: "an empty `x-forwarded-proto` says nothing",
        reason: "Envoy finds no route for a request whose scheme is the empty word",
        explains: |request, mismatch| {
            request.has("x-forwarded-proto", "") && mismatch.is_status(&["404"], "200")
        },
    },
    Difference {
        name: "a safe request that a kept connection lost is sent once more",
        reason: "the endpoint closed the connection while the request was on its way; no policy is needed \
                 to see that nothing was answered",
        explains: |request, mismatch| {
            let about = [
                "servers",
                "request header x-envoy-attempt-count",
                "answer header x-envoy-attempt-count",
                "log tries",
            ];
            request.begins("x-do", "close")
                && request.is_get()
                && (mismatch.is_in(&about) || mismatch.is_status(&["503"], "200"))
        },
    },
];

/// What stands in heads.
const HEADS: [Difference; 17] = [
    Difference {
        name: "names of headers go on as they came",
        reason: "heads are forwarded as untouched byte runs; names are not case-sensitive (RFC 9110 §5.1)",
        explains: |_, mismatch| {
            mismatch.what.starts_with("name as sent ")
                && mismatch.envoy.eq_ignore_ascii_case(&mismatch.ours)
        },
    },
    Difference {
        name: "fields that are repeated stay apart",
        reason: "that is the same (RFC 9110 §5.3), and nothing is copied; Envoy joins some",
        explains: |_, mismatch| {
            let all: Vec<_> = mismatch.ours.split(" | ").collect();
            let is_list = mismatch.what.contains(" header ") && all.len() > 1;
            let full: Vec<_> = all.iter().copied().filter(|it| !it.is_empty()).collect();
            is_list && [all.join(","), full.join(",")].contains(&mismatch.envoy)
        },
    },
    Difference {
        name: "what a reply's connection header names goes no further",
        reason: "it is meant for one hop (RFC 9110 §7.6.1)",
        explains: |_, mismatch| mismatch.is("answer header x-hop", "1", ABSENT),
    },
    Difference {
        name: "hosts go on in lower case",
        reason: "one form of the host is what is matched, judged, logged and forwarded",
        explains: |request, mismatch| {
            let about = [
                "request header host",
                "request header x-envoy-original-host",
                "request header x-forwarded-host",
                "answer header location",
            ];
            let has_upper = request.host.contains(|c: char| c.is_ascii_uppercase());
            has_upper
                && mismatch.is_in(&about)
                && mismatch.envoy.eq_ignore_ascii_case(&mismatch.ours)
        },
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
            request.is_at_edge() && told.iter().any(|part| mismatch.what.starts_with(part))
        },
    },
    Difference {
        name: "the answer to HEAD has the length of that to GET",
        reason: "Envoy says `transfer-encoding: chunked` of an empty answer of its own",
        explains: |request, mismatch| {
            request.method == "HEAD"
                && (mismatch.is("answer header content-length", ABSENT, "0")
                    || mismatch.is("answer header transfer-encoding", "chunked", ABSENT))
        },
    },
    Difference {
        name: "an answer before the body does not cost the connection",
        reason: "the body has come with the head, so it can be read away; Envoy closes",
        explains: |request, mismatch| {
            request.body.is_some() && mismatch.is("answer header connection", "close", ABSENT)
        },
    },
    Difference {
        name: "a request without a body stays without a length",
        reason: "only methods that have a body tell that there is none (RFC 9110 §8.6)",
        explains: |request, mismatch| {
            !matches!(request.method, "POST" | "PUT" | "PATCH")
                && mismatch.is("request header content-length", "0", ABSENT)
        },
    },
    Difference {
        name: "a length is told as the number that it is",
        reason: "`00` is read as 0 and written as 0",
        explains: |_, mismatch| mismatch.is("request header content-length", "00", "0"),
    },
    Difference {
        name: "a body that is kept is sent with its length",
        reason: "it was read to its end to be copied or sent again",
        explains: |request, mismatch| {
            request.chunked
                && (mismatch.is("request header transfer-encoding", "chunked", ABSENT)
                    || mismatch.is("request header content-length", ABSENT, "10"))
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
            let is_copied =
                request.host.starts_with("mirrors.example") || request.target == "/mirrored";
            is_copied && mismatch.is_in(&told)
        },
    },
    Difference {
        name: "the first of repeated schemes counts",
        reason: "Envoy joins `x-forwarded-proto` to a list, and knows no scheme of that name",
        explains: |request, mismatch| {
            request.has("x-forwarded-proto", "HTTPS")
                && mismatch.is("request header :scheme", "http", "https")
        },
    },
    Difference {
        name: "trailers go on",
        reason: "no setting is needed for them in HTTP/1",
        explains: |_, mismatch| mismatch.is("answer trailer x-end", ABSENT, "1"),
    },
    Difference {
        name: "`te` and `expect` go on only with what they can mean",
        reason: "an empty `te` asks for nothing, and what is expected twice is answered here",
        explains: |request, mismatch| {
            mismatch.is("request header te", "", ABSENT)
                || (request.has("te", "") && mismatch.is_status(&["502", "503"], "200"))
                || mismatch.is("request header expect", "100-continue,100-continue", ABSENT)
        },
    },
    Difference {
        name: "an empty id is none",
        reason: "nothing can be found by it",
        explains: |request, mismatch| {
            request.has("x-request-id", "")
                && mismatch.is("request header x-request-id", "(some)", ABSENT)
        },
    },
    Difference {
        name: "flags of a cross-origin policy are its own",
        reason: "Envoy looks for those that are not set in the policy of the virtual host; Istio writes one \
                 policy, at the route",
        explains: |request, mismatch| {
            request.host == "cors-of-host.example"
                && mismatch.is(
                    "answer header access-control-allow-credentials",
                    "true",
                    ABSENT,
                )
        },
    },
];

/// What stands in access logs.
const LOGS: [Difference; 4] = [
    Difference {
        name: "a request that is refused or redirected for its path is logged as it came",
        reason: "Envoy logs the path that it made of it, and now and then a route that was not asked",
        explains: |request, mismatch| {
            let asked = request.target.split(['?', '#']).next().unwrap_or_default();
            let authority = format!("http://{}", request.host);
            let asked = asked.strip_prefix(&authority).unwrap_or(asked);
            let is_route = mismatch.what == "log route" && mismatch.ours == "-";
            (mismatch.what == "log path" && mismatch.ours.starts_with(asked))
                || (is_route && asked.to_ascii_lowercase().contains("%2f"))
        },
    },
    Difference {
        name: "a body counts when it was read for an endpoint",
        reason: "one that was not wanted does not, and one that may be sent again is read at once",
        explains: |request, mismatch| {
            request.body.is_some()
                && (mismatch.is("log received", "10", "0")
                    || mismatch.is("log received", "0", "10"))
        },
    },
    Difference {
        name: "a log names the first of repeated fields",
        reason: "as it does of those that Envoy does not join",
        explains: |_, mismatch| {
            mismatch.what == "log path" && mismatch.envoy == format!("{0},{0}", mismatch.ours)
        },
    },
    Difference {
        name: "quotes are escaped in logs",
        reason: "no client can write more than one word of a line",
        explains: |_, mismatch| {
            mismatch.what == "log path" && mismatch.ours == mismatch.envoy.replace('"', "\\\"")
        },
    },
];
