//! Messages that arrive in pieces, where a piece is less than a header.

use std::io::Write;

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, limits};
use crate::postgres;
use crate::raw::{Raw, query, startup};

#[test]
fn half_a_header_at_the_end_of_a_stream_leaves_nothing_behind() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    // Without and with a server connection that suits.
    for wishes in [[("application_name", "a")], [("application_name", "b")]] {
        for len in 1..5 {
            for served in [false, true] {
                if served {
                    let mut client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
                    client.value("SELECT 1");
                    client.goodbye();
                }
                let mut client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
                // One segment, so that data and end are one event more often than not.
                rustix::net::sockopt::set_tcp_cork(&client.stream, true).unwrap();
                client.send(&query("SELECT 1")[..len]);
                client.stream.shutdown(std::net::Shutdown::Write).unwrap();
                assert!(client.read_to_end().is_empty());
            }
        }
    }
    pooler.until(|figures| &figures.clients, 0);
}

#[test]
fn a_header_in_pieces_is_put_together_however_long_the_wait_for_a_connection() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    // 88 is `X`, as a goodbye begins.
    let padded = format!("SELECT 'it{}'", " ".repeat(88 - 4 - 1 - 11));
    let message = query(&padded);
    assert_eq!(message[4], b'X');
    for cut in 1..5 {
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        assert_eq!(client.value("SELECT 1"), "1");
        client.goodbye();
        // The connection suits and is idle, so the piece is taken; then somebody else has it when the rest comes.
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        pooler.until(|figures| &figures.idle, 1);
        client.send(&message[..cut]);
        let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        assert_eq!(other.value("SELECT 2"), "2");
        client.send(&message[cut..]);
        pooler.until(|figures| &figures.waiting, 1);
        other.goodbye();
        let answer = client.read_to(b'Z');
        assert!(answer.iter().any(|message| message.kind == b'D'), "{cut}: {answer:?}");
        client.goodbye();
    }
}

#[test]
fn a_header_in_pieces_may_begin_behind_the_start_up_packet() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(other.value("SELECT 2"), "2");
    let packet = startup(&[("user", &database.name), ("database", &database.name)]);
    let message = query("SELECT 'it'");
    let mut stream = Raw::connect(pooler.port);
    stream.write_all(&[&packet[..], &message[..3]].concat()).unwrap();
    let mut client = Raw::of(stream);
    client.read_to(b'Z');
    client.send(&message[3..]);
    pooler.until(|figures| &figures.waiting, 1);
    other.goodbye();
    let answer = client.read_to(b'Z');
    assert!(answer.iter().any(|message| message.kind == b'D'), "{answer:?}");
}
