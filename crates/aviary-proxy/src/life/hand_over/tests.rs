use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};

use super::*;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("aviary-{name}-{}.sock", std::process::id()))
}

fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn take_gets_the_sockets_with_what_waits_in_them() {
    let path = path("take");
    assert!(take(&path).unwrap().is_none());
    let (traffic, address) = socket();
    let (pages, _) = socket();
    let purpose = Purpose::Traffic {
        worker: 1,
        address,
        inherited: Some(80),
    };
    let offer = Offer::new(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = TcpStream::connect(address).unwrap();
    let newer = spawn_blocking({
        let path = path.clone();
        move || {
            let mut taking = take(&path).unwrap().unwrap();
            let sockets = taking.sockets();
            taking.ready().unwrap();
            sockets
        }
    });
    let handed = vec![
        Handed {
            purpose: purpose.clone(),
            socket: traffic.try_clone().unwrap(),
        },
        Handed {
            purpose: Purpose::Pages("admin".into()),
            socket: pages,
        },
    ];
    offer.asked().await.unwrap().give(handed).await.unwrap();
    drop(traffic);
    let sockets = newer.await.unwrap();
    assert_eq!(sockets[0].purpose, purpose);
    assert_eq!(sockets[1].purpose, Purpose::Pages("admin".into()));
    // It connected before the sockets changed hands and is served after.
    drop(sockets[0].socket.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn give_to_one_that_ends_before_it_is_ready_changes_nothing() {
    let path = path("ends");
    let offer = Offer::new(&path).unwrap();
    let newer = spawn_blocking({
        let path = path.clone();
        move || drop(take(&path).unwrap().unwrap())
    });
    let (traffic, address) = socket();
    let handed = Handed {
        purpose: Purpose::Pages("metrics".into()),
        socket: traffic.try_clone().unwrap(),
    };
    let given = offer.asked().await.unwrap().give(vec![handed]).await;
    assert_eq!(given.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    newer.await.unwrap();
    let client = TcpStream::connect(address).unwrap();
    drop(traffic.accept().unwrap());
    drop(client);
}

#[tokio::test]
async fn drop_offer_leaves_the_file_of_a_newer_one() {
    let path = path("newer");
    let older = Offer::new(&path).unwrap();
    let newer = Offer::new(&path).unwrap();
    drop(older);
    assert!(path.exists());
    drop(newer);
    assert!(!path.exists());
}
