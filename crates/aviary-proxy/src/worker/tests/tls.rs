use std::net::SocketAddr;
use std::sync::Arc;

use aviary_mesh::cluster::UpstreamProtocol;
use aviary_mesh::listener::{ChainMatch, Direction};
use aviary_mesh::tls::{
    Certificate, ClusterTls, DownstreamTls, Private, Secret, SecretKind, Source, TlsMatch,
};
use aviary_mesh::{ChainAction, FilterChain};
use rustls::client::{ClientConfig, Resumption};
use rustls::{RootCertStore, crypto::aws_lc_rs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::certificates::*;
use super::fixture::*;

const WEB: &str = "spiffe://td/ns/prod/sa/web";
const REVIEWS: &str = "spiffe://td/ns/prod/sa/reviews";

/// An HTTP listener behind TLS, and the cluster `c`.
fn behind_tls(address: SocketAddr, tls: Arc<DownstreamTls>, to: SocketAddr) -> Plan {
    let mut listener = listener(
        address,
        ChainAction::Http(http_chain(Direction::Inbound, "t")),
    );
    listener.chains[0].tls = Some(tls);
    simple(address, forward_to(&[("c", 1)]), &[to]).listener(listener)
}

/// A plain listener whose cluster speaks TLS.
fn towards_tls(address: SocketAddr, tls: ClusterTls, to: SocketAddr) -> Plan {
    let mut cluster = cluster("c");
    cluster.tls = tls;
    simple(address, forward_to(&[("c", 1)]), &[]).cluster(cluster, &[to])
}

/// A client of its own make.
async fn client(
    address: SocketAddr,
    name: &str,
    authority: &Authority,
    alpn: &[&str],
    own: Option<(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    let tcp = TcpStream::connect(address).await?;
    let name = name.to_owned().try_into().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// Asks once and reads to the end.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> std::io::Result<String> {
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    // The end may come without a word when the connection was refused.
    match stream.read_to_string(&mut text).await {
        Err(error) if text.is_empty() => Err(error),
        _ => Ok(text),
    }
}

#[test]
fn mesh_mtls_carries_requests_and_resumes() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, seen) = named("reviews").await;
        let (inner, outer) = (free_address(), free_address());
        let server = mesh_server(authority.pair(REVIEWS), authority.trust());
        let inside = Proxy::start(behind_tls(inner, server, web)).await;
        let tls = mesh_client(Some(authority.pair(WEB)), authority.trust_in(REVIEWS));
        let mut plan = towards_tls(outer, tls, inner);
        let cluster = Arc::make_mut(plan.0.clusters.get_mut("c").unwrap());
        cluster.limits.max_requests_per_connection = Some(1);
        let outside = Proxy::start(plan).await;
        let mut caller = Caller::connect(outer).await;
        for _ in 0..4 {
            let got = caller.get("/").await;
            assert_eq!((got.status, got.body.as_str()), (200, "reviews"));
        }
        assert_eq!(seen.requests.get(), 4);
        // Each side tells who both are; only the called one knows that nothing could be read.
        for (proxy, security) in [(inside, "mutual_tls"), (outside, "unknown")] {
            let text = proxy.metrics().await;
            let mut lines = text.lines();
            let line = lines.find(|it| it.starts_with("istio_requests_total{"));
            let line = line.unwrap();
            for label in [
                format!("connection_security_policy=\"{security}\""),
                format!("source_principal=\"{WEB}\""),
                format!("destination_principal=\"{REVIEWS}\""),
            ] {
                assert!(line.contains(&label), "{label}: {line}");
            }
            assert!(line.ends_with(" 4"), "{line}");
        }
    });
}

#[test]
fn handshake_decides_what_is_spoken_where_the_cluster_leaves_it_open() {
    on_worker_thread(async {
        let authority = Authority::new();
        for (offered, spoken) in [
            (&["h2", "http/1.1"][..], "HTTP/2"),
            (&["http/1.1"], "HTTP/1.1"),
            (&[], "HTTP/1.1"),
        ] {
            let (web, _) = named("reviews").await;
            let (inner, outer) = (free_address(), free_address());
            let mut server = mesh_server(authority.pair(REVIEWS), authority.trust());
            Arc::make_mut(&mut server).settings.alpn =
                offered.iter().map(|it| (*it).to_owned()).collect();
            let mut inside = Proxy::start(behind_tls(inner, server, web)).await;
            let mut tls = mesh_client(Some(authority.pair(WEB)), authority.trust_in(REVIEWS));
            Arc::make_mut(tls.fallback.as_mut().unwrap())
                .settings
                .alpn
                .clear();
            let mut plan = towards_tls(outer, tls, inner);
            let cluster = Arc::make_mut(plan.0.clusters.get_mut("c").unwrap());
            cluster.protocol = UpstreamProtocol::Alpn;
            let _outside = Proxy::start(plan).await;
            let mut caller = Caller::connect(outer).await;
            for _ in 0..2 {
                assert_eq!(caller.get("/").await.body, "reviews", "{offered:?}");
                assert_eq!(inside.line().await.protocol, Some(spoken), "{offered:?}");
            }
        }
    });
}

#[test]
fn mesh_mtls_large_bodies_go_both_ways() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, _) = server(|request, _| async move { answer(200, request.into_body()) }).await;
        let (inner, outer) = (free_address(), free_address());
        let server = mesh_server(authority.pair(REVIEWS), authority.trust());
        let _inner = Proxy::start(behind_tls(inner, server, web)).await;
        let tls = mesh_client(Some(authority.pair(WEB)), authority.trust());
        let _outer = Proxy::start(towards_tls(outer, tls, inner)).await;
        let mut caller = Caller::connect(outer).await;
        let sent = "0123456789abcdef".repeat(200_000);
        let request = ::http::Request::post("/")
            .header("host", "reviews")
            .body(whole(sent.clone()))
            .unwrap();
        let got = caller.send(request).await;
        assert_eq!(got.status, 200);
        assert!(got.body == sent, "{} bytes", got.body.len());
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mesh_mtls_wrong_peers_are_refused() {
    on_worker_thread(async {
        let (authority, foreign) = (Authority::new(), Authority::new());
        let (web, seen) = named("reviews").await;
        let inner = free_address();
        let server = mesh_server(authority.pair(REVIEWS), authority.trust());
        let _inner = Proxy::start(behind_tls(inner, server, web)).await;
        let odd = |odd: Odd| Some(authority.odd_pair(WEB, &odd));
        let table = [
            ("good", odd(Odd::default()), authority.trust(), 200),
            ("no certificate", None, authority.trust(), 503),
            (
                "foreign client",
                Some(foreign.pair(WEB)),
                authority.trust(),
                503,
            ),
            ("foreign server", odd(Odd::default()), foreign.trust(), 503),
            (
                "wrong server",
                odd(Odd::default()),
                authority.trust_in("spiffe://td/ns/prod/sa/other"),
                503,
            ),
            (
                "wrong trust domain",
                Some(authority.pair("spiffe://td.evil/ns/prod/sa/web")),
                authority.trust(),
                503,
            ),
            (
                "expired",
                odd(Odd {
                    expired: true,
                    ..Odd::default()
                }),
                authority.trust(),
                503,
            ),
            (
                "authority as leaf",
                odd(Odd {
                    authority: true,
                    ..Odd::default()
                }),
                authority.trust(),
                503,
            ),
            (
                "two identities",
                odd(Odd {
                    second_uri: Some("spiffe://td/ns/prod/sa/admin"),
                    ..Odd::default()
                }),
                authority.trust(),
                503,
            ),
        ];
        for (case, own, trust, status) in table {
            let outer = free_address();
            let proxy = Proxy::start(towards_tls(outer, mesh_client(own, trust), inner)).await;
            let before = seen.requests.get();
            let got = Caller::connect(outer).await.get("/").await;
            assert_eq!(got.status, status, "{case}: {}", got.body);
            assert_eq!(
                seen.requests.get() - before,
                u32::from(status == 200),
                "{case}"
            );
            proxy.drain.cancel();
            proxy.ended().await;
        }
    });
}

#[test]
fn endpoint_marks_choose_between_tls_and_plain_text() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, _) = named("reviews").await;
        let (inner, outer) = (free_address(), free_address());
        let server = mesh_server(authority.pair(REVIEWS), authority.trust());
        let _inner = Proxy::start(behind_tls(inner, server, web)).await;
        let mesh = mesh_client(Some(authority.pair(WEB)), authority.trust()).fallback;
        let one = |mesh: bool, tls| TlsMatch {
            name: format!("{mesh}"),
            mesh,
            tls,
        };
        let tls = ClusterTls {
            matches: vec![one(true, mesh), one(false, None)],
            fallback: None,
        };
        let plain = towards_tls(outer, tls, web);
        let mut marked = plain.clone();
        let set = marked.0.endpoints.get_mut("c").unwrap();
        let endpoint = &mut Arc::make_mut(set).endpoints[0];
        (endpoint.address, endpoint.mesh_tls) = (inner, true);
        let proxy = Proxy::start(plain).await;
        let mut caller = Caller::connect(outer).await;
        assert_eq!(caller.get("/").await.status, 200);
        proxy.apply(marked).await;
        assert_eq!(caller.get("/").await.status, 200);
    });
}

/// Chains of an edge: two tenants by name, each with its certificate.
fn tenants(address: SocketAddr, authority: &Authority, to: SocketAddr) -> Plan {
    let chain = |name: &str| FilterChain {
        name: name.to_owned(),
        matches: ChainMatch {
            server_names: vec![name.to_owned()],
            ..ChainMatch::default()
        },
        tls: Some(edge_server(vec![authority.pair(name)])),
        rbac: Vec::new(),
        action: ChainAction::Http(http_chain(Direction::Outbound, "t")),
    };
    let mut listener = listener(
        address,
        ChainAction::Http(http_chain(Direction::Outbound, "t")),
    );
    listener.tls_inspector = true;
    listener.chains = vec![chain("a.example"), chain("*.b.example")];
    simple(address, forward_to(&[("c", 1)]), &[to]).listener(listener)
}

#[test]
fn edge_chooses_tenants_by_server_name() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, _) = named("web").await;
        let address = free_address();
        let _proxy = Proxy::start(tenants(address, &authority, web)).await;
        for name in ["a.example", "x.b.example"] {
            let mut stream = client(address, name, &authority, &["http/1.1"], None)
                .await
                .unwrap();
            let text = ask(&mut stream, name).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        for name in ["c.example", "b.example"] {
            let refused = client(address, name, &authority, &[], None).await;
            assert!(refused.is_err(), "{name}");
        }
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let _ = plain.read_to_string(&mut text).await;
        assert_eq!(text, "");
    });
}

#[test]
fn edge_misdirected_request_gets_421() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, seen) = named("web").await;
        let address = free_address();
        let _proxy = Proxy::start(tenants(address, &authority, web)).await;
        let mut stream = client(address, "a.example", &authority, &[], None)
            .await
            .unwrap();
        let text = ask(&mut stream, "x.b.example").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 421"), "{text}");
        assert_eq!(seen.requests.get(), 0);
    });
}

#[test]
fn edge_tells_the_application_that_it_was_tls() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, _) = server(|request, _| async move {
            let header = |name| request.headers().get(name).cloned();
            assert_eq!(header("x-forwarded-client-cert"), None);
            answer(
                200,
                header("x-forwarded-proto").unwrap().as_bytes().to_vec(),
            )
        })
        .await;
        let address = free_address();
        let server = edge_server(vec![authority.pair("a.example")]);
        let _proxy = Proxy::start(behind_tls(address, server, web)).await;
        let mut stream = client(address, "a.example", &authority, &[], None)
            .await
            .unwrap();
        let host = "a.example\r\nx-forwarded-client-cert: By=me";
        let text = ask(&mut stream, host).await.unwrap();
        assert!(text.ends_with("https"), "{text}");
    });
}

#[test]
fn edge_chooses_among_certificates_by_server_name() {
    on_worker_thread(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let (web, _) = named("web").await;
        let address = free_address();
        let server = edge_server(vec![authority.pair("a.example"), other.pair("*.b.example")]);
        let _proxy = Proxy::start(behind_tls(address, server, web)).await;
        for (name, authority, good) in [
            ("a.example", &authority, true),
            ("x.b.example", &other, true),
            ("x.b.example", &authority, false),
            ("y.x.b.example", &other, false),
        ] {
            let stream = client(address, name, authority, &[], None).await;
            assert_eq!(stream.is_ok(), good, "{name}");
        }
    });
}

/// What Istio makes of PERMISSIVE: mesh TLS, plain text and foreign TLS on one port.
fn permissive(address: SocketAddr, authority: &Authority, to: SocketAddr, raw: SocketAddr) -> Plan {
    let chain = |name: &str, transport: &str, protocols: &[&str]| FilterChain {
        name: name.to_owned(),
        matches: ChainMatch {
            transport_protocol: Some(transport.to_owned()),
            application_protocols: protocols.iter().map(|&it| it.to_owned()).collect(),
            ..ChainMatch::default()
        },
        tls: None,
        rbac: Vec::new(),
        action: ChainAction::Http(http_chain(Direction::Inbound, "t")),
    };
    let mut mesh = chain("mesh", "tls", &["istio", "istio-peer-exchange"]);
    mesh.tls = Some(mesh_server(authority.pair(REVIEWS), authority.trust()));
    let mut foreign = chain("foreign", "tls", &[]);
    foreign.action = ChainAction::Tcp(tcp_chain("raw"));
    let mut listener = listener(
        address,
        ChainAction::Http(http_chain(Direction::Inbound, "t")),
    );
    listener.tls_inspector = true;
    listener.http_inspector = true;
    listener.chains = vec![mesh, chain("plain", "raw_buffer", &["http/1.1"]), foreign];
    listener.default_chain = Some(FilterChain {
        action: ChainAction::Tcp(tcp_chain("raw")),
        ..chain("bytes", "raw_buffer", &[])
    });
    simple(address, forward_to(&[("c", 1)]), &[to])
        .listener(listener)
        .cluster(cluster("raw"), &[raw])
}

#[test]
fn permissive_port_takes_mesh_tls_plain_text_and_foreign_tls() {
    on_worker_thread(async {
        let authority = Authority::new();
        let (web, _) = named("web").await;
        let (own, address) = (free_address(), free_address());
        // The application speaks TLS by itself.
        let server = edge_server(vec![authority.pair("app.example")]);
        let _application = Proxy::start(behind_tls(own, server, web)).await;
        let _proxy = Proxy::start(permissive(address, &authority, web, own)).await;

        assert_eq!(Caller::connect(address).await.get("/").await.body, "web");

        let certificate = Some(authority.pem(WEB, &Odd::default()));
        let mesh = client(address, "x", &authority, &["istio"], certificate).await;
        // The mesh's certificate has no host name in it.
        assert!(mesh.is_err());
        let outer = free_address();
        let tls = mesh_client(Some(authority.pair(WEB)), authority.trust());
        let _outer = Proxy::start(towards_tls(outer, tls, address)).await;
        assert_eq!(Caller::connect(outer).await.get("/").await.body, "web");

        let mut foreign = client(address, "app.example", &authority, &["http/1.1"], None)
            .await
            .unwrap();
        let text = ask(&mut foreign, "app.example").await.unwrap();
        assert!(text.ends_with("web"), "{text}");
    });
}

#[test]
fn new_secret_is_used_by_new_handshakes_and_none_fails() {
    on_worker_thread(async {
        let (authority, web) = (Authority::new(), named("web").await.0);
        let address = free_address();
        let server = Arc::new(DownstreamTls {
            certificates: vec![Certificate::Secret("default".to_owned())],
            ..DownstreamTls::default()
        });
        let plan = |(chain, key): (String, String)| {
            let mut plan = behind_tls(address, Arc::clone(&server), web);
            let secret = Secret {
                name: "default".to_owned(),
                kind: SecretKind::Certificate {
                    chain: Source::Text(chain),
                    key: Private::new(Source::Text(key)),
                },
            };
            plan.0
                .secrets
                .insert("default".to_owned(), Arc::new(secret));
            plan
        };
        let fresh = || authority.pem("a.example", &Odd::default());
        let proxy = Proxy::start(plan(fresh())).await;
        let mut held = client(address, "a.example", &authority, &[], None)
            .await
            .unwrap();
        let leaf = |stream: &TlsStream<TcpStream>| {
            stream.get_ref().1.peer_certificates().unwrap()[0].clone()
        };
        let mut leaves = vec![leaf(&held)];
        for _ in 0..5 {
            proxy.apply(plan(fresh())).await;
            for _ in 0..3 {
                let mut stream = client(address, "a.example", &authority, &[], None)
                    .await
                    .unwrap();
                assert!(ask(&mut stream, "a").await.unwrap().ends_with("web"));
                leaves.push(leaf(&stream));
            }
        }
        leaves.dedup();
        assert_eq!(leaves.len(), 6);
        // A secret that cannot be used leaves the last good one in force.
        let (chain, _) = fresh();
        proxy.apply(plan((chain, fresh().1))).await;
        let stream = client(address, "a.example", &authority, &[], None)
            .await
            .unwrap();
        assert_eq!(leaf(&stream), leaves[5]);
        // What was open before goes on.
        assert!(ask(&mut held, "a").await.unwrap().ends_with("web"));
    });
}

#[test]
fn tls_that_ends_in_bytes_is_passed_both_ways_with_half_closes() {
    on_worker_thread(async {
        let authority = Authority::new();
        let at = super::tcp::echo().await;
        let address = free_address();
        let mut listener = listener(address, ChainAction::Tcp(tcp_chain("c")));
        listener.chains[0].tls = Some(edge_server(vec![authority.pair("a.example")]));
        let plan = Plan::default()
            .listener(listener)
            .cluster(cluster("c"), &[at]);
        let _proxy = Proxy::start(plan).await;
        let mut stream = client(address, "a.example", &authority, &[], None)
            .await
            .unwrap();
        let sent = vec![b'x'; 300_000];
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back.len(), sent.len() + 1);
    });
}
