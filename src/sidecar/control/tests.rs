use super::*;

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command as Process;

use jiff::Timestamp;
use tokio::sync::mpsc::unbounded_channel;

use crate::policy::limits::Profile;
use crate::policy::settings::{PoolMode, SETTINGS_VERSION, Settings, Thresholds, Verify};
use crate::sidecar::boot::Boot;
use crate::sidecar::figures::{Figures, commands};

const CHILD: &str = "WEIR_TEST_STOPPED_LOOP";

/// The loop of this process never turns: nobody reads the commands.
fn without_a_loop() {
    let settings = Settings {
        version: SETTINGS_VERSION,
        pool: "shop/orders".to_owned(),
        generation: 1,
        profile: Profile::Test,
        pool_mode: PoolMode::Session,
        verify: Verify::Hints,
        client: "none".to_owned(),
        limits: Profile::Test.limits(),
        thresholds: Thresholds { warning: 80, critical: 90 },
        placeholders: None,
        unknown: serde_json::Map::new(),
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let boot = Boot::new("00000000-0000-0000-0000-000000000000".to_owned(), Timestamp::now()).unwrap();
    let (commander, _commands) = commands().unwrap();
    let (_asks, requests) = unbounded_channel();
    let panel = Panel::new(boot, 0, &settings, Arc::new(Figures::default()), commander.clone());
    let control = Control { panel, commander, requests, url_file: None, loop_stopped: Duration::from_millis(50) };
    let thread = control.start(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_loop_that_stops_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        return without_a_loop();
    }
    let this = std::env::current_exe().unwrap();
    let name = format!("{}::a_loop_that_stops_ends_the_process", module_path!().trim_start_matches("weir::"));
    let output = Process::new(this).args([&name, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{said}");
    assert!(said.contains("the loop has stopped"), "{said}");
}
