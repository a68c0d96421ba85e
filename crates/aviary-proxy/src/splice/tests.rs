use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (near, accepted) = tokio::join!(TcpStream::connect(address), socket.accept());
    (near.unwrap(), accepted.unwrap().0)
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn both_ways_pass_bytes_and_half_closes() {
    let ((mut client, near), (far, mut endpoint)) = (pair().await, pair().await);
    let counts = Counts::default();
    let (up, down) = (pattern(3_000_000), pattern(1_700_001));
    let talk = async {
        let send = async {
            client.write_all(&up).await.unwrap();
            client.shutdown().await.unwrap();
            let mut back = Vec::new();
            client.read_to_end(&mut back).await.unwrap();
            back
        };
        let answer = async {
            let mut came = Vec::new();
            endpoint.read_to_end(&mut came).await.unwrap();
            // The other way is open still.
            endpoint.write_all(&down).await.unwrap();
            endpoint.shutdown().await.unwrap();
            came
        };
        tokio::join!(send, answer)
    };
    let (passed, (back, came)) = tokio::join!(both(&near, &far, &counts), talk);
    passed.unwrap();
    assert!(back == down && came == up);
    assert_eq!(
        (counts.received.get(), counts.sent.get()),
        (3_000_000, 1_700_001)
    );
}

#[tokio::test]
async fn both_ways_idle_hold_no_pipe() {
    let ((mut client, near), (far, mut endpoint)) = (pair().await, pair().await);
    let counts = Counts::default();
    let talk = async {
        let mut byte = [0];
        for _ in 0..3 {
            endpoint.write_all(b"x").await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
        }
        assert_eq!(PIPES.with_borrow(Vec::len), 1);
    };
    tokio::select! {
        result = both(&near, &far, &counts) => panic!("{result:?}"),
        () = talk => {}
    }
}

#[tokio::test]
async fn forward_passes_exactly_what_it_is_told() {
    let ((mut client, near), (far, mut endpoint)) = (pair().await, pair().await);
    let (sent, moved) = (pattern(700_000), Cell::new(0));
    let write = async { client.write_all(&sent).await.unwrap() };
    let read = async {
        let mut came = vec![0; 600_000];
        endpoint.read_exact(&mut came).await.unwrap();
        came
    };
    let (passed, (), came) = tokio::join!(forward(&near, &far, 600_000, &moved), write, read);
    passed.unwrap();
    assert!(came == sent[..600_000]);
    assert_eq!(moved.get(), 600_000);
    // The rest is there for whoever reads next.
    let mut rest = vec![0; 100_000];
    let mut near = near;
    near.read_exact(&mut rest).await.unwrap();
    assert!(rest == sent[600_000..]);
}

#[tokio::test]
async fn forward_of_too_few_bytes_is_an_error() {
    let ((mut client, near), (far, _endpoint)) = (pair().await, pair().await);
    client.write_all(b"abc").await.unwrap();
    drop(client);
    let error = forward(&near, &far, 4, &Cell::new(0)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
