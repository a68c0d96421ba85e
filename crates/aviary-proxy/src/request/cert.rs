//! What upstreams are told of the client's certificate.

use std::fmt::Write as _;

use aviary_http::{Fields, Name};
use aviary_mesh::listener::{ClientCert, ForwardClientCert};

use crate::tls::Peer;

/// Brings `x-forwarded-client-cert` to what the chain wants.
///
/// Source: Envoy `ConnectionManagerUtility::mutateXfccRequestHeader`.
pub(super) fn forward(fields: &mut Fields, wanted: ClientCert, peer: Option<&Peer>) {
    let presented = peer.filter(|peer| peer.subject.is_some());
    match (wanted.forward, presented) {
        (ForwardClientCert::AlwaysForwardOnly, _) | (ForwardClientCert::ForwardOnly, Some(_)) => {}
        (ForwardClientCert::Sanitize, _) | (_, None) => {
            fields.remove(Name::XForwardedClientCert);
        }
        (ForwardClientCert::SanitizeSet, Some(peer)) => {
            let told = told(wanted, peer);
            fields.set(Name::XForwardedClientCert, told.as_bytes());
        }
        (ForwardClientCert::AppendForward, Some(peer)) => {
            let told = told(wanted, peer);
            let before = fields.joined(Name::XForwardedClientCert);
            let all = match before.as_deref() {
                None | Some("") => told,
                Some(before) => format!("{before},{told}"),
            };
            fields.set(Name::XForwardedClientCert, all.as_bytes());
        }
    }
}

/// The element about this client.
fn told(wanted: ClientCert, peer: &Peer) -> String {
    let mut text = String::new();
    if let Some(own) = &peer.own {
        let _ = write!(text, "By={own};");
    }
    if let Some(digest) = &peer.digest {
        text.push_str("Hash=");
        for byte in digest {
            let _ = write!(text, "{byte:02x}");
        }
        text.push(';');
    }
    if let Some(subject) = &peer.subject {
        if wanted.subject {
            let _ = write!(text, "Subject=\"{}\";", subject.name);
        }
        if wanted.uri {
            each(&mut text, "URI", &subject.uris, true);
        }
        if wanted.dns {
            each(&mut text, "DNS", &subject.dns, false);
        }
    }
    text.pop();
    text
}

/// The key stands there once even without a name, when `always`.
fn each(text: &mut String, key: &str, names: &[String], always: bool) {
    for name in names {
        let _ = write!(text, "{key}={name};");
    }
    if names.is_empty() && always {
        let _ = write!(text, "{key}=;");
    }
}

#[cfg(test)]
mod tests {
    use aviary_mesh::tls::Subject;

    use super::*;

    fn peer() -> Peer {
        Peer {
            subject: Some(Box::new(Subject {
                name: "CN=web".into(),
                uris: vec!["spiffe://m/ns/a/sa/web".into()],
                dns: vec!["web.example".into()],
                ..Subject::default()
            })),
            digest: Some([0xab; 32]),
            own: Some("spiffe://m/ns/a/sa/own".into()),
            ..Peer::default()
        }
    }

    fn after(forward_as: ForwardClientCert, peer: Option<&Peer>) -> Option<String> {
        let mut fields = Fields::new();
        fields.append(Name::XForwardedClientCert, b"By=a;Hash=b");
        let wanted = ClientCert {
            forward: forward_as,
            subject: true,
            uri: true,
            dns: true,
        };
        forward(&mut fields, wanted, peer);
        fields
            .text(Name::XForwardedClientCert)
            .map(ToOwned::to_owned)
    }

    #[test]
    fn forward_without_a_certificate_removes_what_the_client_wrote() {
        use ForwardClientCert as Mode;
        for mode in [
            Mode::Sanitize,
            Mode::ForwardOnly,
            Mode::AppendForward,
            Mode::SanitizeSet,
        ] {
            assert_eq!(after(mode, None), None, "{mode:?}");
            assert_eq!(after(mode, Some(&Peer::default())), None, "{mode:?}");
        }
        let kept = Some("By=a;Hash=b".to_owned());
        assert_eq!(after(Mode::AlwaysForwardOnly, None), kept);
    }

    #[test]
    fn forward_with_a_certificate_tells_of_it() {
        let told = format!(
            "By=spiffe://m/ns/a/sa/own;Hash={};Subject=\"CN=web\";URI=spiffe://m/ns/a/sa/web;DNS=web.example",
            "ab".repeat(32)
        );
        let set = after(ForwardClientCert::SanitizeSet, Some(&peer()));
        assert_eq!(set, Some(told.clone()));
        let appended = after(ForwardClientCert::AppendForward, Some(&peer()));
        assert_eq!(appended, Some(format!("By=a;Hash=b,{told}")));
    }
}
