use super::*;
use crate::matcher::StringMatch;

#[test]
fn identity_parse_table() {
    let long = format!("spiffe://td/{}", "a".repeat(2048));
    let table = [
        ("spiffe://cluster.local/ns/shop/sa/web", true),
        ("spiffe://td/x", true),
        ("spiffe://td", false),
        ("spiffe://td/", false),
        ("spiffe:///x", false),
        ("spiffe://td/x/", false),
        ("spiffe://td//x", false),
        ("spiffe://td/../x", false),
        ("spiffe://td/./x", false),
        ("spiffe://td/x?y", false),
        ("spiffe://td/x#y", false),
        ("spiffe://td/x%41", false),
        ("spiffe://TD/x", false),
        ("spiffe://td:80/x", false),
        ("spiffe://u@td/x", false),
        ("SPIFFE://td/x", false),
        ("https://td/x", false),
        ("spiffe://td/a\0b", false),
        (&long, false),
    ];
    for (text, want) in table {
        assert_eq!(Identity::parse(text).is_some(), want, "{text}");
    }
    let identity = Identity::parse("spiffe://cluster.local/ns/shop/sa/web").unwrap();
    assert_eq!(identity.trust_domain, "cluster.local");
    assert_eq!(identity.workload(), Some(("shop", "web")));
    assert_eq!(
        Identity::parse("spiffe://td/ns/a").unwrap().workload(),
        None
    );
}

fn subject(uris: &[&str], dns: &[&str]) -> Subject {
    Subject {
        uris: uris.iter().map(|&it| it.to_owned()).collect(),
        dns: dns.iter().map(|&it| it.to_owned()).collect(),
        valid: (100, 200),
        ..Subject::default()
    }
}

fn san(kind: SanKind, value: StringMatch) -> SanMatch {
    SanMatch {
        kind,
        value,
        ignore_case: false,
    }
}

#[test]
fn subject_with_two_uris_has_no_identity_and_fits_none() {
    let (one, two) = ("spiffe://td/a", "spiffe://td/b");
    let wanted = [san(SanKind::Uri, StringMatch::Exact(one.to_owned()))];
    let single = subject(&[one], &[]);
    assert!(single.fits(&wanted));
    assert_eq!(single.identity().unwrap().text, one);
    let both = subject(&[one, two], &[]);
    assert!(!both.fits(&wanted));
    assert!(both.identity().is_none());
    let authority = Subject {
        is_authority: true,
        ..single
    };
    assert!(!authority.fits(&wanted));
    assert!(authority.identity().is_none());
}

#[test]
fn subject_trust_domain_is_a_prefix_with_its_slash() {
    let wanted = [san(
        SanKind::Uri,
        StringMatch::Prefix("spiffe://cluster.local/".to_owned()),
    )];
    for (uri, want) in [
        ("spiffe://cluster.local/ns/a/sa/b", true),
        ("spiffe://cluster.local.evil/ns/a/sa/b", false),
        ("spiffe://other/ns/a/sa/b", false),
    ] {
        assert_eq!(subject(&[uri], &[]).fits(&wanted), want, "{uri}");
    }
}

#[test]
fn subject_dns_wildcard_stands_for_one_label() {
    for (name, wanted, want) in [
        ("a.example.com", "a.example.com", true),
        ("A.Example.com", "a.example.com", true),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("a.example.com", "b.example.com", false),
    ] {
        let wanted_names = [san(SanKind::Dns, StringMatch::Exact(wanted.to_owned()))];
        assert_eq!(
            subject(&[], &[name]).fits(&wanted_names),
            want,
            "{name} {wanted}"
        );
    }
    assert!(subject(&[], &[]).fits(&[]));
}

#[test]
fn subject_validity_includes_both_ends() {
    let subject = subject(&[], &[]);
    assert_eq!(
        [99, 100, 200, 201].map(|now| subject.is_valid_at(now)),
        [false, true, true, false]
    );
}

#[test]
fn misdirected_table() {
    let table: [(&[&str], &str, bool); 11] = [
        (&[], "other.example", false),
        (&["a.example"], "a.example", false),
        (&["a.example"], "A.Example:8443", false),
        (&["a.example"], "a.example.", false),
        (&["a.example"], "b.example", true),
        (&["a.example"], "a.example.evil", true),
        (&["*.example"], "b.example:443", false),
        (&["*.example"], "b.c.example", false),
        (&["*.example"], ".example", true),
        (&["*.example"], "example", true),
        (&["*"], "anything", false),
    ];
    for (names, authority, want) in table {
        let names: Vec<_> = names.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(
            misdirected(&names, authority),
            want,
            "{names:?} {authority}"
        );
    }
}

#[test]
fn private_key_is_shown_nowhere() {
    let key = Private::new(Source::Text("KEY".to_owned()));
    let secret = Secret {
        name: "default".to_owned(),
        kind: SecretKind::Certificate {
            chain: Source::File("/c.pem".to_owned()),
            key: key.clone(),
        },
    };
    assert!(!format!("{secret:?}").contains("KEY"));
    let tls = DownstreamTls {
        certificates: vec![Certificate::Pair {
            chain: Source::File("/c.pem".to_owned()),
            key,
        }],
        ..DownstreamTls::default()
    };
    assert!(!format!("{tls:?}").contains("KEY"));
}

#[test]
fn cluster_tls_first_match_decides() {
    let tls = Arc::new(UpstreamTls::default());
    let matches = vec![
        TlsMatch {
            name: "tlsMode-istio".to_owned(),
            mesh: true,
            tls: Some(Arc::clone(&tls)),
        },
        TlsMatch {
            name: "tlsMode-disabled".to_owned(),
            mesh: false,
            tls: None,
        },
    ];
    let cluster = ClusterTls {
        matches,
        fallback: Some(tls),
    };
    assert!(cluster.of(true).is_some());
    assert!(cluster.of(false).is_none());
    let plain = ClusterTls {
        matches: Vec::new(),
        ..cluster
    };
    assert!(plain.of(false).is_some());
}
