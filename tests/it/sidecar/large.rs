//! Long messages pass through little memory.

use std::fs;

use crate::Client;
use crate::guarded;
use crate::sidecar::{Options, Sidecar};

const LONG: usize = 64 * 1024 * 1024;
const LITTLE_KB: u64 = 4 * 1024;

/// The most that the process ever had in memory.
pub fn most_kb(sidecar: &Sidecar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse().expect("proc(5)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_either_way_passes_through_little_memory() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 1).start();
    let client = Client::of(&sidecar, &database).await;
    client.run("select 1").await.expect("there is a server connection");
    let before = most_kb(&sidecar);
    let value = vec![b'v'; LONG];
    let row = client.client.query_one("select octet_length($1::bytea)", &[&value]).await.expect("it arrives");
    assert_eq!(usize::try_from(row.get::<_, i32>(0)), Ok(LONG));
    let up = most_kb(&sidecar) - before;
    let row = client.client.query_one(&format!("select repeat('x', {LONG})"), &[]).await.expect("it arrives");
    assert_eq!(row.get::<_, &str>(0).len(), LONG);
    let both = most_kb(&sidecar) - before;
    assert!(both < LITTLE_KB, "{up} kB after the long parameter, {both} kB after the long row");
    println!("{up} kB after the long parameter, {both} kB after the long row");
    client.leave().await;
}
