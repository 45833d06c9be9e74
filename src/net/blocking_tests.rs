use super::super::{EgressRules, MapDialer, Network, Trust};
use super::*;
use crate::domain::connection::{Endpoint, Reach, TlsMode};
use crate::domain::stages::Stages;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A blocking stream, and the server's end of it.
async fn pair(timeout: Duration, budget: u64) -> (BlockingStream, TcpStream, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialer = MapDialer::new().name("mail.test", [address.ip()]).route(address, address);
    let network = Network::new(Arc::new(dialer), &Trust::nobody(), EgressRules::default());
    let endpoint = Endpoint {
        host: "mail.test".into(),
        port: address.port(),
        tls: TlsMode::StartTlsIfOffered,
        reach: Reach::Private,
    };
    let connection = network.dial(&endpoint, false, PATIENCE, &mut Stages::new()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let cancel = CancellationToken::new();
    (BlockingStream::new(connection, Handle::current(), timeout, budget, cancel.clone()), server, cancel)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways_until_the_budget_is_used_up_and_on_when_it_is_renewed() {
    let (mut stream, mut server, _) = pair(PATIENCE, 5).await;
    server.write_all(b"hello, world").await.unwrap();
    let stream = blocking(move || {
        let mut five = [0; 5];
        stream.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"hello");
        let error = stream.read(&mut five).unwrap_err();
        assert_eq!(StreamStop::of(&error), Some(StreamStop::Budget));
        assert_eq!(error.to_string(), "the server sent more than it may");
        stream.controls().set_budget(100);
        stream.read_exact(&mut five).unwrap();
        assert_eq!(&five, b", wor");
        assert_eq!(stream.controls().budget(), 95);
        stream.write_all(b"bye").unwrap();
        stream.flush().unwrap();
        stream
    })
    .await;
    let mut bye = [0; 3];
    server.read_exact(&mut bye).await.unwrap();
    assert_eq!(&bye, b"bye");
    drop(stream);
}

#[tokio::test]
async fn a_silent_server_ends_a_read_by_timeout_by_deadline_or_by_cancelling() {
    let (mut stream, _server, cancel) = pair(Duration::from_millis(10), 100).await;
    let mut stream = blocking(move || {
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!((StreamStop::of(&error), error.kind()), (Some(StreamStop::Idle), io::ErrorKind::TimedOut));
        stream.controls().set_timeout(PATIENCE);
        stream.controls().set_deadline(Some(Instant::now() + Duration::from_millis(10)));
        let error = stream.read_exact(&mut [0; 8]).unwrap_err();
        assert_eq!(StreamStop::of(&error), Some(StreamStop::Deadline));
        let error = stream.write_all(b"more").unwrap_err();
        assert_eq!(StreamStop::of(&error), Some(StreamStop::Deadline));
        stream.controls().set_deadline(None);
        stream
    })
    .await;
    let reading = tokio::task::spawn_blocking(move || stream.read_exact(&mut [0; 8]).unwrap_err());
    cancel.cancel();
    assert_eq!(StreamStop::of(&reading.await.unwrap()), Some(StreamStop::Cancelled));
}

#[tokio::test]
async fn a_server_that_goes_away_is_an_end_of_file() {
    let (mut stream, server, _) = pair(PATIENCE, 100).await;
    drop(server);
    assert_eq!(blocking(move || stream.read(&mut [0; 8]).unwrap()).await, 0);
}
