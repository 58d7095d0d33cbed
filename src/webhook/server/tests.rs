use std::time::Duration;

use axum::routing::get;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::authority::{self, Certificates};
use super::*;
use crate::shutdown::Tasks;

const NAME: &str = "weir-webhook.weir-system.svc";

fn certificates(current: Option<&Certificates>, now: Timestamp) -> Certificates {
    authority::next(current, &[NAME.to_owned()], now).unwrap_or_else(|error| panic!("{error}")).expect("due")
}

async fn started(resolver: &Arc<Resolver>, tasks: &mut Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().route("/", get(|| async { "here" }));
    let tls = tls(Arc::clone(resolver)).expect("ring speaks TLS 1.3");
    tasks.spawn("server", serve(listener, tls, router, tasks.stopping()));
    address
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let (resolver, mut tasks) = (Arc::new(Resolver::default()), Tasks::default());
    let address = started(&resolver, &mut tasks).await;

    let first = certificates(None, Timestamp::now());
    assert!(!answers(address, NAME, &first.bundle()).await, "there is no certificate yet");
    resolver.install(first.leaf()).expect("usable");
    assert!(answers(address, NAME, &first.bundle()).await);
    assert!(!answers(address, "other.weir-system.svc", &first.bundle()).await);

    let other = certificates(None, Timestamp::now());
    assert!(!answers(address, NAME, &other.bundle()).await, "another authority");
    resolver.install(other.leaf()).expect("usable");
    assert!(answers(address, NAME, &other.bundle()).await);
    assert!(!answers(address, NAME, &first.bundle()).await);

    let both = first.bundle() + &other.bundle();
    assert!(answers(address, NAME, &both).await, "an overlapping bundle covers either leaf");
    assert!(tasks.run(async {}).await.is_ok());
}

#[tokio::test]
async fn a_silent_or_talkative_stranger_harms_nobody() {
    let (resolver, mut tasks) = (Arc::new(Resolver::default()), Tasks::default());
    let certificates = certificates(None, Timestamp::now());
    resolver.install(certificates.leaf()).expect("usable");
    let address = started(&resolver, &mut tasks).await;

    let _silent = TcpStream::connect(address).await.expect("listens");
    let mut garbage = TcpStream::connect(address).await.expect("listens");
    garbage.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x00]).await.expect("open");
    garbage.write_all(&vec![0; 70_000]).await.ok();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), garbage.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is disconnected");
    assert!(answers(address, NAME, &certificates.bundle()).await);
    assert!(tasks.run(async {}).await.is_ok());
}

#[tokio::test]
async fn one_address_gets_half_of_the_connections() {
    let guests = Arc::new(Guests::default());
    let (one, other) = ("10.0.0.1".parse().expect("an address"), "10.0.0.2".parse().expect("an address"));
    let mapped = "::ffff:10.0.0.1".parse().expect("an address");
    let mut inside: Vec<_> = (0..CONNECTIONS_OF_ONE).map_while(|_| Guests::enter(&guests, one)).collect();
    assert_eq!(inside.len(), CONNECTIONS / 2);
    assert!(Guests::enter(&guests, one).is_none() && Guests::enter(&guests, mapped).is_none());
    assert!(Guests::enter(&guests, other).is_some());
    inside.pop();
    assert!(Guests::enter(&guests, mapped).is_some());
    drop(inside);
    assert!(guests.0.lock().expect("nobody panicked").is_empty(), "those that left are forgotten");
}

#[tokio::test]
async fn whoever_asks_for_nonsense_is_disconnected() {
    let (resolver, mut tasks) = (Arc::new(Resolver::default()), Tasks::default());
    let certificates = certificates(None, Timestamp::now());
    resolver.install(certificates.leaf()).expect("usable");
    let address = started(&resolver, &mut tasks).await;
    let mut stranger = connected(address, NAME, &certificates.bundle()).await.expect("a handshake");
    stranger.write_all(b"GET /nonsense HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("open");
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), stranger.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is disconnected");
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{answer:?}");
    drop(stranger);
    assert!(tasks.run(async {}).await.is_ok());
}
