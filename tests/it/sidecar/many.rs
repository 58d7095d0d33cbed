//! Ten thousand clients of one sidecar cost it little.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guarded;
use crate::large::most_kb;
use crate::sidecar::{Options, PATIENCE, Sidecar, eventually};

const CLIENTS: usize = 10_000;
/// The test has an open file for each too, and the sidecar keeps some hundred for other things.
const FILES: u64 = CLIENTS as u64 + 1000;
/// Three times of what was seen without optimization: 10 MB.
const MOST_KB: u64 = 32 * 1024;
/// Fewer than may wait to be accepted.
const AT_ONCE: usize = 100;

const READY: &[u8] = b"Z\0\0\0\x05I";

/// Lets this process have as many files open as it may. What that is, where it is not enough.
fn raise_limit() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the hard limit is allowed");
    maximum.filter(|maximum| *maximum < FILES)
}

/// With its length before it.
fn counted(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("it is short");
    [&len.to_be_bytes()[..], body].concat()
}

/// Connects, and says what it wants. The ports of 127.0.0.1 are left to other tests, and none is in TIME_WAIT after a reset.
fn connect(sidecar: &Sidecar, packet: &[u8]) -> TcpStream {
    let own = SocketAddr::from(([127, 0, 0, 2], 0));
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).expect("there are descriptors");
    net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("the socket is new");
    net::bind(&socket, &own).expect("it has free ports");
    net::connect(&socket, &sidecar.listen).expect("the sidecar listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out of more than 0");
    stream.write_all(packet).expect("the packet fits");
    stream
}

/// Everything up to ReadyForQuery.
fn answer(client: &mut TcpStream) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(READY) {
        let n = client.read(&mut buffer).expect("the sidecar answers");
        assert_ne!(n, 0, "it ended after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..n]);
    }
    answer
}

fn until_clients(sidecar: &Sidecar, wanted: usize) {
    eventually(&format!("{wanted} clients"), || match sidecar.metric("weir_sidecar_clients") {
        clients if clients.to_string() == wanted.to_string() => Ok(()),
        clients => Err(clients.to_string()),
    });
}

#[test]
fn ten_thousand_idle_clients_cost_little_memory_and_no_server_connection() {
    if let Some(limit) = raise_limit() {
        println!("skipped: this process may have {limit} files open, and the test needs {FILES}");
        return;
    }
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 2).start();
    sidecar.until("min is warm", |report| report.metrics.idle_connections == 1);
    let before = most_kb(&sidecar);

    let name = database.name().as_bytes();
    let packet = counted(&[b"\0\x03\0\0user\0", name, b"\0database\0", name, b"\0\0"].concat());
    let mut clients = Vec::with_capacity(CLIENTS);
    while clients.len() < CLIENTS {
        let mut some: Vec<_> = (0..AT_ONCE).map(|_| connect(&sidecar, &packet)).collect();
        for client in &mut some {
            answer(client);
        }
        clients.append(&mut some);
    }
    until_clients(&sidecar, CLIENTS);
    assert_eq!(sidecar.health().metrics.total_connections, 1);

    for at in [0, CLIENTS - 1] {
        let client = &mut clients[at];
        client.write_all(&[b"Q", &counted(b"select 'answered'\0")[..]].concat()).expect("the message fits");
        let answer = answer(client);
        assert!(answer.windows(8).any(|part| part == b"answered"), "{}", String::from_utf8_lossy(&answer));
    }
    let most = most_kb(&sidecar);
    println!("{before} kB before them, {most} kB with {CLIENTS} clients");
    assert!(most < MOST_KB, "{most} kB");

    drop(clients);
    until_clients(&sidecar, 0);
    sidecar.until("nobody holds a connection", |report| report.metrics.active_connections == 0);
}
