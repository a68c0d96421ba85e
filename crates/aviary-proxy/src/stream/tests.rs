use std::future::poll_fn;
use std::task::Poll;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Stream;

async fn pair() -> (Stream, TcpStream) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, accepted) = tokio::join!(
        TcpStream::connect(socket.local_addr().unwrap()),
        socket.accept()
    );
    (Stream::new(near.unwrap()), accepted.unwrap().0)
}

async fn readable(stream: &mut Stream) {
    poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
}

#[tokio::test]
async fn stream_without_bytes_is_quiet_and_not_readable() {
    let (mut near, _far) = pair().await;
    // The first look may find the state that a new socket starts with.
    assert!(near.is_quiet());
    assert!(near.is_quiet());
    let waiting = poll_fn(|cx| Poll::Ready(near.poll_readable(cx).is_pending())).await;
    assert!(waiting);
}

#[tokio::test]
async fn stream_with_bytes_is_not_quiet() {
    let (mut near, mut far) = pair().await;
    far.write_all(b"x").await.unwrap();
    readable(&mut near).await;
    assert!(!near.is_quiet());
}

#[tokio::test]
async fn stream_ended_by_the_other_side_is_not_quiet() {
    let (mut near, far) = pair().await;
    drop(far);
    readable(&mut near).await;
    assert!(!near.is_quiet());
}

#[tokio::test]
async fn looked_at_bytes_are_read_again() {
    let (mut near, mut far) = pair().await;
    far.write_all(b"hello").await.unwrap();
    assert_eq!(near.look().await.unwrap(), 5);
    readable(&mut near).await;
    let mut bytes = [0; 3];
    near.read_exact(&mut bytes).await.unwrap();
    assert_eq!((&bytes, near.seen()), (b"hel", &b"lo"[..]));
    far.write_all(b"!").await.unwrap();
    let mut bytes = [0; 3];
    near.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"lo!");
}
