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
